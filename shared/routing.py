"""Which projects want a study, and by which way: for what arrives, and for what is here already.

A routing rule (2019 design, "trusted" senders) needs an AE title (the one called or the one
calling, in full) *and* a pattern that the PatientID or the PatientName matches from its start.

One request for a study and project. What the person who imported it has said goes before what the
coupling list says, that before a rule, and a rule before an AE title: the more a person has said
about this very study, the better it is known.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select, update

from shared.admission import Way
from shared.identity import MasterKey
from shared.ledger import Connection, coupling_lists, wishes
from shared.ledger.assigning import Request, lock_projects, take
from shared.ledger.states import ProjectState
from shared.ledger.tables import (
    Association,
    Project,
    RoutingRule,
    Study,
    StudyAssociation,
    Transfer,
    core,
)
from shared.patterns import matches_start
from shared.priority import Priority

_study, _transfer, _project = core(Study), core(Transfer), core(Project)
_rule = core(RoutingRule)
_association, _bringer = core(Association), core(StudyAssociation)


@dataclass(frozen=True)
class Arrived:
    """A study, and the ways in which it came."""

    id: int
    study_uid: str
    patient_id: str
    patient_name: str
    accession_number: str
    senders: Sequence[Association]

    @property
    def is_bulk(self) -> bool:
        """Whether all that brought it were bulk senders."""
        return {sender.priority for sender in self.senders} == {Priority.BULK}


TITLES = frozenset({"called_aet", "calling_aet"})
PATTERNS = frozenset({"patient_id_pattern", "patient_name_pattern"})
"""A rule's conditions; it takes what meets one of the titles and one of the patterns."""


def met(
    rule: RoutingRule, senders: Iterable[Association], patient_id: str, patient_name: str
) -> set[str]:
    """The conditions of `rule` that images which `senders` brought meet."""
    found = {
        title
        for sender in senders
        for title in TITLES
        if getattr(rule, title) and getattr(rule, title) == getattr(sender, title)
    }
    if rule.patient_id_pattern and matches_start(rule.patient_id_pattern, patient_id):
        found.add("patient_id_pattern")
    if rule.patient_name_pattern and matches_start(rule.patient_name_pattern, patient_name):
        found.add("patient_name_pattern")
    return found


def is_enough(conditions: set[str]) -> bool:
    """Whether a rule takes images that meet these conditions of it."""
    return bool(conditions & TITLES and conditions & PATTERNS)


def matching(
    rules: Iterable[RoutingRule],
    senders: Sequence[Association],
    patient_id: str,
    patient_name: str,
) -> list[RoutingRule]:
    """The rules that take images which `senders` brought: for each project the first that does."""
    found: dict[int, RoutingRule] = {}
    for rule in sorted(rules, key=_turn):
        if rule.project_id in found or not rule.enabled:
            continue
        if is_enough(met(rule, senders, patient_id, patient_name)):
            found[rule.project_id] = rule
    return list(found.values())


def _turn(rule: RoutingRule) -> tuple[int, bool, int]:
    # One that is not entered yet would come after those of the same priority.
    return rule.priority, rule.id is None, rule.id or 0


async def enabled_rules(connection: Connection) -> list[RoutingRule]:
    """The rules that are switched on."""
    rows = await connection.execute(select(_rule).where(_rule.c.enabled))
    return [RoutingRule.model_validate(dict(row)) for row in rows.mappings()]


async def candidates(
    connection: Connection, study_ids: Iterable[int], master_key: MasterKey
) -> list[Request]:
    """The requests for studies, by study and project, as `shared.routing` has it."""
    studies = await arrived(connection, study_ids)
    rules = await enabled_rules(connection)
    # By the word of a person who has looked at it now, a study may also come back.
    wished = await wishes.requests(connection, [study.id for study in studies])
    places = {(one.study_id, one.project_id) for one in wished}
    others = await requests_for(connection, studies, rules, master_key)
    return wished + [one for one in others if (one.study_id, one.project_id) not in places]


async def requests_for(
    connection: Connection,
    studies: list[Arrived],
    rules: list[RoutingRule],
    master_key: MasterKey,
) -> list[Request]:
    """The requests for studies by these rules, by the coupling lists and by AE titles.

    Left out is a project that the study has been in: it is there, or a person has ended that, and
    neither is a rule's to question.
    """
    wanted = [
        *await coupling_lists.requests(connection, studies, master_key),
        *_by_rule(rules, studies),
        *await _by_title(connection, studies),
    ]
    found: dict[tuple[int, int], Request] = {}
    for one in wanted:
        found.setdefault((one.study_id, one.project_id), one)
    there = await connection.execute(
        select(_transfer.c.study_id, _transfer.c.project_id).where(
            _transfer.c.study_id.in_([study.id for study in studies])
        )
    )
    for study_id, project_id in there:
        found.pop((study_id, project_id), None)
    bulk = {study.id for study in studies if study.is_bulk}
    return [
        replace(one, priority=Priority.BULK) if one.priority is None and study_id in bulk else one
        for (study_id, _), one in sorted(found.items())
    ]


async def arrived(connection: Connection, study_ids: Iterable[int]) -> list[Arrived]:
    """Studies with the associations that brought them, in order."""
    wanted = list(study_ids)
    brought = await connection.execute(
        select(_bringer.c.study_id, _association)
        .join_from(_bringer, _association)
        .where(_bringer.c.study_id.in_(wanted))
        .order_by(_association.c.id)
    )
    senders: dict[int, list[Association]] = defaultdict(list)
    for row in brought.mappings():
        senders[row["study_id"]].append(Association.model_validate(dict(row)))
    rows = await connection.execute(
        select(
            _study.c.id,
            _study.c.study_instance_uid,
            _study.c.patient_id,
            _study.c.patient_name,
            _study.c.accession_number,
        )
        .where(_study.c.id.in_(wanted))
        .order_by(_study.c.id)
    )
    return [Arrived(*row, senders[row.id]) for row in rows]


async def take_all(
    connection: Connection, requests: list[Request], master_key: MasterKey
) -> list[int]:
    """Take studies into projects as far as the gate lets them; the new transfers' ids.

    Where it does not, the study's `routing_note` says why, and a person decides. The caller holds
    the studies' locks.
    """
    projects = await lock_projects(connection, {one.project_id for one in requests})
    notes = {one.study_id: "" for one in requests}
    taken = []
    for request in requests:
        answer = await take(connection, request, projects[request.project_id], master_key)
        if request.wish_id is not None:
            await wishes.decide(connection, request.wish_id, answer)
        if answer.against:
            notes[request.study_id] = answer.against[0].objection
        elif answer.transfer_id is not None:
            taken.append(answer.transfer_id)
    for study_id, note in notes.items():
        await connection.execute(
            update(_study)
            .where(_study.c.id == study_id, _study.c.routing_note != note)
            .values(routing_note=note)
        )
    return taken


def _by_rule(rules: list[RoutingRule], studies: list[Arrived]) -> list[Request]:
    return [
        Request(
            study.id,
            rule.project_id,
            Way.RULE,
            event=rule.event,
            site=rule.site,
            trusted=rule.trusted,
            rule_id=rule.id,
            priority=Priority(rule.transfer_priority) if rule.transfer_priority else None,
        )
        for study in studies
        for rule in matching(rules, study.senders, study.patient_id, study.patient_name)
    ]


async def _by_title(connection: Connection, studies: list[Arrived]) -> list[Request]:
    """Of studies sent to a project's own AE title, as its code is one (2019 design, mode B)."""
    called = {sender.called_aet for study in studies for sender in study.senders}
    rows = await connection.execute(
        select(_project.c.id, _project.c.code).where(
            _project.c.code.in_(called), _project.c.state == ProjectState.ACTIVE
        )
    )
    projects = {code: project_id for project_id, code in rows}
    return [
        Request(study.id, projects[sender.called_aet], Way.TITLE, trusted=True)
        for study in studies
        for sender in study.senders
        if sender.called_aet in projects
    ]
