"""What the ledger knows already of the studies that an import has found."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.couplings import Patient, known_as
from shared.ledger.states import ENDED
from shared.ledger.tables import (
    Import,
    ImportStudy,
    Participant,
    Study,
    Transfer,
    WithdrawnStudy,
    core,
)

_found, _study, _transfer = core(ImportStudy), core(Study), core(Transfer)
_participant, _withdrawn = core(Participant), core(WithdrawnStudy)
_AT_ONCE = 500


@dataclass(frozen=True)
class Here:
    """A study that is here already."""

    id: int
    patient_id: str
    patient_name: str
    patient_birth_date: str
    images: int


@dataclass(frozen=True)
class InProject:
    """Where a study is in the import's project."""

    transfer_id: int
    participant: str
    event: str
    site: str


@dataclass(frozen=True)
class Place:
    """What is known of one study."""

    here: Here | None
    in_project: InProject | None
    withdrawn: bool
    known_as: frozenset[str]
    """The participants that its patient is in the project already."""


def patient_of(study: ImportStudy) -> Patient:
    """Who a found study is of."""
    return Patient(
        study.patient_id, study.patient_name, study.patient_birth_date, study.study_instance_uid
    )


async def places(
    connection: Connection, found: Import, studies: Sequence[ImportStudy], master_key: MasterKey
) -> dict[str, Place]:
    """What is known of the studies, by their UIDs."""
    here: dict[str, Here] = {}
    there: dict[str, InProject] = {}
    withdrawn: set[str] = set()
    uids = [one.study_instance_uid for one in studies]
    for start in range(0, len(uids), _AT_ONCE):
        batch = uids[start : start + _AT_ONCE]
        here |= await _here(connection, batch)
        there |= await _in_project(connection, found.project_id, batch)
        withdrawn |= await _gone(connection, found.project_id, batch)
    participants: dict[str, frozenset[str]] = {}
    for one in studies:
        patient = patient_of(one)
        index = patient.index(master_key)
        if index not in participants:
            known = await known_as(connection, found.project_id, patient, index)
            participants[index] = frozenset(known)
    return {
        one.study_instance_uid: Place(
            here.get(one.study_instance_uid),
            there.get(one.study_instance_uid),
            one.study_instance_uid in withdrawn,
            participants[patient_of(one).index(master_key)],
        )
        for one in studies
    }


async def _here(connection: Connection, uids: list[str]) -> dict[str, Here]:
    rows = await connection.execute(
        select(
            _study.c.study_instance_uid,
            _study.c.id,
            _study.c.patient_id,
            _study.c.patient_name,
            _study.c.patient_birth_date,
            _study.c.instances,
        ).where(_study.c.study_instance_uid.in_(uids))
    )
    return {uid: Here(*rest) for uid, *rest in rows}


async def _in_project(
    connection: Connection, project_id: int, uids: list[str]
) -> dict[str, InProject]:
    rows = await connection.execute(
        select(
            _study.c.study_instance_uid,
            _transfer.c.id,
            _participant.c.pseudonym,
            _transfer.c.event,
            _transfer.c.site,
        )
        .join_from(_transfer, _study)
        .join(_participant, _participant.c.id == _transfer.c.participant_id)
        .where(
            _study.c.study_instance_uid.in_(uids),
            _transfer.c.project_id == project_id,
            _transfer.c.state.not_in(ENDED),
        )
    )
    return {uid: InProject(*rest) for uid, *rest in rows}


async def _gone(connection: Connection, project_id: int, uids: list[str]) -> set[str]:
    return set(
        await connection.scalars(
            select(_withdrawn.c.study_instance_uid).where(
                _withdrawn.c.study_instance_uid.in_(uids),
                _withdrawn.c.project_id.is_(None) | (_withdrawn.c.project_id == project_id),
            )
        )
    )
