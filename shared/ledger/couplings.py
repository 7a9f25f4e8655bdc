"""Who is whom in a project: which participant a patient is."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import literal, select

from shared.admission import Objection, Refusal, site_code
from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.database import Connection
from shared.ledger.tables import (
    Coupling,
    CouplingEntry,
    Participant,
    Project,
    Study,
    Transfer,
    core,
)
from shared.ledger.transfers import still_there
from shared.ledger.writing import insert_or
from shared.participants import NumbersUsedUp, template

_study, _transfer, _entry = core(Study), core(Transfer), core(CouplingEntry)
_participant, _coupling = core(Participant), core(Coupling)


class Kind(StrEnum):
    """What a row of a coupling list goes by."""

    ACCESSION = "accession"
    STUDY = "study"
    PATIENT = "patient"


@dataclass(frozen=True)
class Patient:
    """Who a study is of, as received."""

    id: str
    """Patient id; may be empty."""
    name: str
    birth_date: str
    study_uid: str

    def index(self, master_key: MasterKey) -> str:
        """What the patient is found by; empty where there is no patient id."""
        return master_key.index(Kind.PATIENT, self.id) if self.id.strip() else ""

    def as_json(self) -> bytes:
        """The identity, to be encrypted."""
        return json.dumps(asdict(self)).encode()


def spellings(patient_id: str) -> set[str]:
    """As what the ledger may have a patient id: in capitals and not, with blanks around and not."""
    plain = patient_id.strip()
    return {patient_id, plain, plain.lower(), plain.upper()}


async def known_as(
    connection: Connection, project_id: int, patient: Patient, index: str, *, coupled: bool = True
) -> set[str]:
    """The participants that a patient is in a project already.

    Parameters
    ----------
    coupled
        Also by what is remembered, not only by what is in the project.
    """
    if not index:
        return set()
    remembered = await connection.scalars(
        select(_participant.c.pseudonym)
        .join_from(_coupling, _participant)
        .where(
            literal(coupled), _coupling.c.project_id == project_id, _coupling.c.patient_key == index
        )
    )
    # Also by ways that couple nobody, as trusted senders' images do.
    transferred = await connection.scalars(
        select(_participant.c.pseudonym)
        .join_from(_transfer, _participant)
        .join(_study, _study.c.id == _transfer.c.study_id)
        .where(
            _study.c.patient_id.in_(spellings(patient.id)),
            _transfer.c.project_id == project_id,
            still_there(_transfer),
        )
        .distinct()
    )
    return {*remembered, *transferred}


async def choose(
    connection: Connection, project: Project, site: str, known: set[str], index: str
) -> tuple[str, list[Refusal]]:
    """The id that a patient has in a project, or the next one of its template.

    The caller holds the project's lock.
    """
    if len(known) == 1:
        return known.pop(), []
    if known:
        return "", [Refusal("participant", Objection.PATIENT_IS_ANOTHER)]
    made = template(project.participant_pattern or "")
    if made is None:
        return "", [Refusal("participant", Objection.NO_TEMPLATE)]
    if not index:
        # Without it the same patient would get another id each time.
        return "", [Refusal("participant", Objection.PARTICIPANT_MISSING)]
    taken = await connection.scalars(
        select(_participant.c.pseudonym)
        .where(_participant.c.project_id == project.id)
        .union(select(_entry.c.participant).where(_entry.c.project_id == project.id))
    )
    try:
        return made.next_id(taken, site_code(project, site)), []
    except NumbersUsedUp:
        return "", [Refusal("participant", Objection.NUMBERS_USED_UP)]


async def confusions(
    connection: Connection, project: Project, participant: str, known: set[str], index: str
) -> list[Refusal]:
    """Where one patient would be two participants, or one participant two patients.

    A person may confirm either (`shared.admission.CONFIRMABLE`).
    """
    found = []
    if known - {participant}:
        found.append(Refusal("participant", Objection.PATIENT_IS_ANOTHER))
    if index:
        another = await connection.scalar(
            select(_coupling.c.id)
            .join_from(_coupling, _participant)
            .where(
                _participant.c.project_id == project.id,
                _participant.c.pseudonym == participant,
                _coupling.c.patient_key != index,
            )
            .limit(1)
        )
        if another is not None:
            found.append(Refusal("participant", Objection.ID_IS_ANOTHERS))
    return found


async def enter_participant(connection: Connection, project_id: int, pseudonym: str) -> int:
    """The participant's row, made where it is new."""
    participant_id: int = await connection.scalar(
        insert_or(connection, _participant)
        .values(project_id=project_id, pseudonym=pseudonym, created_at=now())
        .on_conflict_do_update(
            index_elements=["project_id", "pseudonym"], set_={"pseudonym": pseudonym}
        )
        .returning(_participant.c.id)
    )
    return participant_id


async def couple(
    connection: Connection,
    project_id: int,
    participant_id: int,
    index: str,
    original: str,
    *,
    anew: bool,
) -> None:
    """Remember which participant a patient is.

    Parameters
    ----------
    original
        The identity, encrypted.
    anew
        Whether this takes the place of what was remembered, which was wrong.
    """
    statement = insert_or(connection, _coupling).values(
        project_id=project_id,
        participant_id=participant_id,
        patient_key=index,
        original=original,
        created_at=now(),
    )
    place = ["project_id", "patient_key"]
    if anew:
        statement = statement.on_conflict_do_update(
            index_elements=place, set_={"participant_id": participant_id}
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=place)
    await connection.execute(statement)
