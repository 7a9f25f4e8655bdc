"""Tries a rule on what is here: which studies it would take, and why or why not."""

from sqlalchemy import ColumnElement, select

from services.api.admitting import field_errors
from services.api.paging import Page
from services.api.routing_rules.schemas import Tried
from shared.admission import Way
from shared.identity import MasterKey
from shared.ledger import Connection, Ledger
from shared.ledger.assigning import Request, lock_projects, take
from shared.ledger.states import ENDED
from shared.ledger.tables import Project, RoutingRule, Study, Transfer, core
from shared.routing import (
    PATTERNS,
    TITLES,
    Arrived,
    arrived,
    enabled_rules,
    is_enough,
    met,
    requests_for,
)

_study, _transfer = core(Study), core(Transfer)

NOT_SENT_SO = "It was neither sent to the rule's called AE title nor by its calling one."
NOT_THE_PATIENT = "Neither the patient's id nor the name matches a pattern of the rule."
ON_THE_LIST = "The project's coupling list says whose it is, and goes first."
GOES_FIRST = "The rule “%(name)s” goes first."
TAKEN_OUT = "A person has taken it out of the project: transfer %(number)s is %(state)s."
THERE_ALREADY = "It is in the project already: transfer %(number)s."

_AT_ONCE = 100
"""Studies that one transaction looks at."""
_AT_MOST = 2000
"""Studies that one page looks at, where only some are asked for."""


async def try_rule(
    ledger: Ledger,
    rule: RoutingRule,
    master_key: MasterKey,
    *,
    seen: ColumnElement[bool],
    takes: bool | None,
    limit: int,
    after: int | None,
) -> Page[Tried]:
    """What `rule`, switched on, would do with the studies here, the newest first. Changes nothing.

    Parameters
    ----------
    seen
        What holds for the studies that may be seen.
    takes
        Only the studies that it would take, or only the others. A page may then be short of
        `limit`, or empty, and still have a next one.
    """
    rule = rule.model_copy(update={"enabled": True})
    found: list[Tried] = []
    looked = 0
    while len(found) < limit and looked < _AT_MOST:
        async with ledger.transaction() as connection:
            ids = await _ids(connection, seen, min(limit, _AT_ONCE), after)
            tried = await _try(connection, rule, ids, master_key)
        if not ids:
            break
        looked += len(ids)
        for one in tried:
            if len(found) == limit:
                break
            after = one.study_id
            if takes is None or one.takes is takes:
                found.append(one)
    async with ledger.reading() as connection:
        more = await _ids(connection, seen, 1, after)
    return Page(items=found, next=after if more else None)


async def _ids(
    connection: Connection, seen: ColumnElement[bool], limit: int, after: int | None
) -> list[int]:
    query = select(_study.c.id).where(seen).order_by(_study.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(_study.c.id < after)
    return list(await connection.scalars(query))


async def _try(
    connection: Connection, rule: RoutingRule, study_ids: list[int], master_key: MasterKey
) -> list[Tried]:
    studies = await arrived(connection, study_ids)
    fulfilled = {
        study.id: met(rule, study.senders, study.patient_id, study.patient_name)
        for study in studies
    }
    matching = [study for study in studies if is_enough(fulfilled[study.id])]
    against = await _against(connection, rule, matching, master_key)
    return [
        Tried(
            study_id=study.id,
            takes=is_enough(fulfilled[study.id]) and not against[study.id],
            met=sorted(fulfilled[study.id]),
            against=_missing(fulfilled[study.id]) or against[study.id],
        )
        for study in reversed(studies)
    ]


def _missing(conditions: set[str]) -> list[str]:
    found = []
    if not conditions & TITLES:
        found.append(NOT_SENT_SO)
    if not conditions & PATTERNS:
        found.append(NOT_THE_PATIENT)
    return found


async def _against(
    connection: Connection, rule: RoutingRule, studies: list[Arrived], master_key: MasterKey
) -> dict[int, list[str]]:
    """Why studies that match would not be taken, by their ids; nothing where they would."""
    others = [one for one in await enabled_rules(connection) if one.id != rule.id]
    names = {one.id: one.name for one in others}
    requests = await requests_for(connection, studies, [*others, rule], master_key)
    chosen = {one.study_id: one for one in requests if one.project_id == rule.project_id}
    found = await _been_there(connection, rule.project_id, [study.id for study in studies])
    mine = []
    for study_id, request in chosen.items():
        if request.way is Way.LIST:
            found[study_id] = [ON_THE_LIST]
        elif request.rule_id != rule.id:
            found[study_id] = [GOES_FIRST % {"name": names[request.rule_id]}]
        else:
            mine.append(request)
    return found | await _ask_the_gate(connection, rule.project_id, mine, master_key)


async def _been_there(
    connection: Connection, project_id: int, study_ids: list[int]
) -> dict[int, list[str]]:
    """Why studies are left alone that are, or were, in the project."""
    rows = await connection.execute(
        select(_transfer.c.study_id, _transfer.c.id, _transfer.c.state)
        .where(_transfer.c.study_id.in_(study_ids), _transfer.c.project_id == project_id)
        .order_by(_transfer.c.id)
    )
    return {
        study_id: [
            (TAKEN_OUT if state in ENDED else THERE_ALREADY)
            % {"number": transfer_id, "state": state}
        ]
        for study_id, transfer_id, state in rows
    }


async def _ask_the_gate(
    connection: Connection, project_id: int, requests: list[Request], master_key: MasterKey
) -> dict[int, list[str]]:
    """What the gate objects to, by study: each is taken, and that undone."""
    found = {}
    if requests:
        studies = {one.study_id for one in requests}
        await connection.execute(
            select(_study.c.id)
            .where(_study.c.id.in_(studies))
            .order_by(_study.c.id)
            .with_for_update(key_share=True)
        )
    projects: dict[int, Project] = await lock_projects(connection, [project_id])
    for request in requests:
        trial = await connection.begin_nested()
        answer = await take(connection, request, projects[project_id], master_key)
        await trial.rollback()
        found[request.study_id] = [
            one.message for one in field_errors(answer.against, projects[project_id])
        ]
    return found
