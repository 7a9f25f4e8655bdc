"""Takes studies into projects: the one gate that every way of assignment goes through.

It checks what `shared.admission` says of the request alone and what the ledger knows, finds the
participant where none is named, remembers which patient that is, and enters the transfer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import insert, select

from shared.admission import Objection, Refusal, Way, refusals
from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.couplings import Patient, choose, confusions, couple, enter_participant, known_as
from shared.ledger.database import Connection
from shared.ledger.keeping import lacks_originals
from shared.ledger.states import ENDED, TransferState
from shared.ledger.tables import Participant, Project, Study, Transfer, WithdrawnStudy, core
from shared.ledger.transfers import still_there
from shared.priority import Priority

_study, _transfer, _project = core(Study), core(Transfer), core(Project)
_participant, _withdrawn = core(Participant), core(WithdrawnStudy)


@dataclass(frozen=True)
class Request:
    """A study that is to come into a project."""

    study_id: int
    project_id: int
    way: Way
    participant: str | None = None
    """None where Sluse is to choose the id."""
    event: str = ""
    site: str = ""
    trusted: bool = False
    """The study's patient id is the participant id."""
    confirmed: bool = False
    """A person has seen what can be confirmed (`CONFIRMABLE`)."""
    rule_id: int | None = None
    corrects_id: int | None = None
    priority: Priority | None = None
    """Of the transfer; None for the project's."""
    wish_id: int | None = None
    """The row of the import that wants it (`shared.ledger.wishes`)."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    against: list[Refusal] = field(default_factory=list)
    transfer_id: int | None = None
    """Of the new transfer."""
    existing_id: int | None = None
    """Of the transfer in force that the study has in the project already."""


class _InForce(NamedTuple):
    id: int
    participant: str
    event: str
    site: str


async def lock_projects(connection: Connection, project_ids: Iterable[int]) -> dict[int, Project]:
    """The projects, locked until this transaction ends, so that no id is given twice.

    Whoever needs several takes them in one call: always in the same order.
    """
    rows = await connection.execute(
        select(_project)
        .where(_project.c.id.in_(set(project_ids)))
        .order_by(_project.c.id)
        .with_for_update(key_share=True)
    )
    return {row["id"]: Project.model_validate(dict(row)) for row in rows.mappings()}


async def take(
    connection: Connection, request: Request, project: Project, master_key: MasterKey
) -> Answer:
    """Take a study into a project, or say what stands against it.

    The caller holds the locks of the study and of the project (`lock_projects`).
    """
    patient = await _patient(connection, request.study_id)
    existing = await _in_force(connection, request)
    if existing is not None and _is_the_same(existing, request, patient):
        return Answer(existing_id=existing.id)
    participant = patient.id if request.trusted else request.participant
    original = None if request.trusted else patient.id
    against = refusals(project, participant, request.event, request.site, patient_id=original)
    if existing is not None:
        against.append(Refusal("project", Objection.STUDY_IS_ANOTHERS))
    if await _is_withdrawn(connection, request, patient.study_uid):
        against.append(Refusal("project", Objection.STUDY_WITHDRAWN))
    if await lacks_originals(connection, [request.study_id]):
        against.append(Refusal("project", Objection.ORIGINALS_EVICTED))
    # A trusted sender's patient is known here by the pseudonym only: there is nobody to couple.
    index = "" if request.trusted else patient.index(master_key)
    if not against:
        participant, against = await _participant_of(
            connection, request, project, participant, patient, index
        )
    if participant and not against and await _is_left_over(connection, request, participant):
        against = [Refusal("project", Objection.STUDY_IS_ANOTHERS)]
    if against or not participant:
        return Answer(against, existing_id=existing.id if existing else None)
    participant_id = await enter_participant(connection, request.project_id, participant)
    if index:
        await couple(
            connection,
            request.project_id,
            participant_id,
            index,
            master_key.encrypt(patient.as_json()),
            anew=request.way is Way.CORRECTION,
        )
    return Answer(transfer_id=await _enter(connection, request, project, participant_id))


async def _participant_of(
    connection: Connection,
    request: Request,
    project: Project,
    participant: str | None,
    patient: Patient,
    index: str,
) -> tuple[str, list[Refusal]]:
    # What a correction says takes the place of what was remembered.
    remembered = participant is None or request.way is not Way.CORRECTION
    known = await known_as(connection, request.project_id, patient, index, coupled=remembered)
    if participant is None:
        return await choose(connection, project, request.site, known, index)
    if request.confirmed:
        return participant, []
    return participant, await confusions(connection, project, participant, known, index)


def _is_the_same(existing: _InForce, request: Request, patient: Patient) -> bool:
    if request.way in (Way.RULE, Way.TITLE):
        return True  # what is there by a person's word is no rule's to question
    participant = patient.id if request.trusted else request.participant
    return participant in (None, existing.participant) and (existing.event, existing.site) == (
        request.event,
        request.site,
    )


async def _patient(connection: Connection, study_id: int) -> Patient:
    row = await connection.execute(
        select(
            _study.c.patient_id,
            _study.c.patient_name,
            _study.c.patient_birth_date,
            _study.c.study_instance_uid,
        ).where(_study.c.id == study_id)
    )
    return Patient(*row.one())


async def _in_force(connection: Connection, request: Request) -> _InForce | None:
    rows = await connection.execute(
        select(_transfer.c.id, _participant.c.pseudonym, _transfer.c.event, _transfer.c.site)
        .join_from(_transfer, _participant)
        .where(
            _transfer.c.study_id == request.study_id,
            _transfer.c.project_id == request.project_id,
            _transfer.c.state.not_in(ENDED),
        )
    )
    row = rows.first()
    return None if row is None else _InForce(*row)


async def _is_left_over(connection: Connection, request: Request, participant: str) -> bool:
    """Whether a transfer that was stopped midway left images there under another participant."""
    found = await connection.scalar(
        select(_transfer.c.id)
        .join_from(_transfer, _participant)
        .where(
            _transfer.c.study_id == request.study_id,
            _transfer.c.project_id == request.project_id,
            still_there(_transfer),
            _participant.c.pseudonym != participant,
        )
        .limit(1)
    )
    return found is not None


async def _is_withdrawn(connection: Connection, request: Request, study_uid: str) -> bool:
    found = await connection.scalar(
        select(_withdrawn.c.id)
        .where(
            _withdrawn.c.study_instance_uid == study_uid,
            _withdrawn.c.project_id.is_(None) | (_withdrawn.c.project_id == request.project_id),
        )
        .limit(1)
    )
    return found is not None


async def _enter(
    connection: Connection, request: Request, project: Project, participant_id: int
) -> int:
    moment = now()
    transfer_id: int = await connection.scalar(
        insert(_transfer)
        .values(
            study_id=request.study_id,
            project_id=request.project_id,
            participant_id=participant_id,
            event=request.event,
            site=request.site,
            state=TransferState.REQUESTED,
            requested_by=request.way,
            priority=request.priority or project.priority,
            rule_id=request.rule_id,
            corrects_id=request.corrects_id,
            requested_at=moment,
            changed_at=moment,
        )
        .returning(_transfer.c.id)
    )
    return transfer_id
