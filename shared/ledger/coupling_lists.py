"""Coupling lists: who a study belongs to, said before or after it arrives.

A row goes by an accession number, a StudyInstanceUID or a patient id, which the ledger holds
encrypted and finds by a keyed hash (`shared.identity.MasterKey.index`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import ColumnElement, delete, func, select, text, update

from shared.admission import Objection, Refusal, Way
from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.assigning import Answer, Request, lock_projects, take
from shared.ledger.couplings import Kind
from shared.ledger.database import Connection
from shared.ledger.states import ENDED, ProjectState
from shared.ledger.tables import (
    Coupling,
    CouplingEntry,
    Participant,
    Project,
    Study,
    Transfer,
    core,
)
from shared.ledger.writing import insert_or

_entry, _project, _study = core(CouplingEntry), core(Project), core(Study)
_coupling, _participant, _transfer = core(Coupling), core(Participant), core(Transfer)

_AT_ONCE = 1000

# What names the study itself goes before what names the patient.
_PRECEDENCE = [Kind.STUDY, Kind.ACCESSION, Kind.PATIENT]


class Key(NamedTuple):
    """What a row is found by."""

    kind: str
    """A `Kind`."""
    value_key: str
    """Keyed hash of the value."""


class Target(NamedTuple):
    """What a row says."""

    participant: str
    event: str
    site: str


class Entry(NamedTuple):
    """A row that is to be stored."""

    key: Key
    value: str
    """Encrypted."""
    target: Target


class Listed(Protocol):
    """A study that lists are asked about."""

    @property
    def id(self) -> int:
        """Its row."""

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID as received."""

    @property
    def patient_id(self) -> str:
        """PatientID as received; may be empty."""

    @property
    def accession_number(self) -> str:
        """AccessionNumber as received; may be empty."""


class _Facts(NamedTuple):
    id: int
    study_uid: str
    patient_id: str
    accession_number: str


_FACTS = (
    _study.c.id, _study.c.study_instance_uid, _study.c.patient_id, _study.c.accession_number
)  # fmt: skip


async def stored(connection: Connection, project_id: int) -> dict[Key, Target]:
    """What a project's list says."""
    rows = await connection.execute(
        select(
            _entry.c.kind, _entry.c.value_key, _entry.c.participant, _entry.c.event, _entry.c.site
        ).where(_entry.c.project_id == project_id)
    )
    return {Key(*row[:2]): Target(*row[2:]) for row in rows}


async def coupled(connection: Connection, project_id: int) -> dict[str, str]:
    """The participants that patients are in a project, by the keyed hash of the patient id."""
    rows = await connection.execute(
        select(_coupling.c.patient_key, _participant.c.pseudonym)
        .join_from(_coupling, _participant)
        .where(_coupling.c.project_id == project_id)
    )
    return {row.patient_key: row.pseudonym for row in rows}


async def store(connection: Connection, project_id: int, entries: Iterable[Entry]) -> None:
    """Enter rows, in their order; one with the key of another takes its place.

    The caller holds the project's lock, so that two uploads never wait for each other's rows.
    """
    statement = insert_or(connection, _entry)
    renewed = ("value", "participant", "event", "site", "uploaded_at")
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "kind", "value_key"],
        set_={name: statement.excluded[name] for name in renewed},
    )
    moment = now()
    rows = [
        {"project_id": project_id, "uploaded_at": moment, "value": one.value}
        | one.key._asdict()
        | one.target._asdict()
        for one in entries
    ]
    for start in range(0, len(rows), _AT_ONCE):
        await connection.execute(statement, rows[start : start + _AT_ONCE])


async def remove(connection: Connection, project_id: int, entry_id: int | None = None) -> int:
    """Remove one row of a project's list, or all of them; how many there were."""
    statement = delete(_entry).where(_entry.c.project_id == project_id)
    if entry_id is not None:
        statement = statement.where(_entry.c.id == entry_id)
    return (await connection.execute(statement)).rowcount


def keys_of(study: Listed, master_key: MasterKey) -> list[Key]:
    """What rows about a study are found by."""
    values = {
        Kind.STUDY: study.study_uid,
        Kind.ACCESSION: study.accession_number,
        Kind.PATIENT: study.patient_id,
    }
    return [Key(kind, master_key.index(kind, value)) for kind, value in values.items() if value]


async def requests(
    connection: Connection,
    studies: Sequence[Listed],
    master_key: MasterKey,
    project_id: int | None = None,
) -> list[Request]:
    """What coupling lists ask for studies; the first one for a study and project counts.

    Parameters
    ----------
    project_id
        Only this project's list; otherwise those of all active projects.
    """
    named = await _naming(connection, studies, master_key, project_id)
    return [_request(study_id, entry) for study_id, entry in named]


async def _naming(
    connection: Connection,
    studies: Sequence[Listed],
    master_key: MasterKey,
    project_id: int | None,
) -> list[tuple[int, CouplingEntry]]:
    """The rows that name studies, with the id of the study; those that count more come first."""
    query = select(_entry).join_from(_entry, _project)
    if project_id is None:
        query = query.where(_project.c.state == ProjectState.ACTIVE)
    else:
        query = query.where(_entry.c.project_id == project_id)
    if await connection.scalar(query.with_only_columns(_entry.c.id).limit(1)) is None:
        return []
    named: dict[Key, list[int]] = defaultdict(list)
    for study in studies:
        for key in keys_of(study, master_key):
            named[key].append(study.id)
    rows = await connection.execute(
        query.where(_entry.c.value_key.in_([key.value_key for key in named]))
    )
    entries = sorted(
        (CouplingEntry.model_validate(dict(row)) for row in rows.mappings()),
        key=lambda entry: (_PRECEDENCE.index(Kind(entry.kind)), entry.id or 0),
    )
    return [
        (study_id, entry)
        for entry in entries
        for study_id in named.get(Key(entry.kind, entry.value_key), ())
    ]


def _request(study_id: int, entry: CouplingEntry) -> Request:
    return Request(study_id, entry.project_id, Way.LIST, entry.participant, entry.event, entry.site)


async def wait_for_arrivals(connection: Connection) -> None:
    """Wait until everybody who is entering studies has committed.

    An arrival that looked at the lists before an upload was committed must be seen by who looks for
    studies after it; every later one sees the upload. On SQLite all writers take turns anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE study IN SHARE MODE"))


async def matching(
    connection: Connection,
    keys: Collection[Key],
    master_key: MasterKey,
    seen: ColumnElement[bool],
) -> list[int]:
    """Ids of the studies here that one of `keys` names, in order; of those that may be `seen`.

    Looks at all of them: whether two values are spellings of one, only their keyed hashes tell.
    """
    found: list[int] = []
    last = 0
    while True:
        rows = await connection.execute(
            select(*_FACTS).where(_study.c.id > last, seen).order_by(_study.c.id).limit(_AT_ONCE)
        )
        studies = [_Facts(*row) for row in rows]
        found += [
            study.id for study in studies if any(key in keys for key in keys_of(study, master_key))
        ]
        if len(studies) < _AT_ONCE:
            return found
        last = studies[-1].id


async def take_listed(
    connection: Connection, project_id: int, study_ids: Collection[int], master_key: MasterKey
) -> dict[int, Answer]:
    """Take studies into a project as its list says, as far as the gate lets them.

    Locks the studies and then the project, as everybody does. A study that the gate refuses gets
    its `routing_note`. One that a person has taken out of the project comes back only by a row that
    is newer than that.
    """
    rows = await connection.execute(
        select(*_FACTS)
        .where(_study.c.id.in_(list(study_ids)))
        .order_by(_study.c.id)
        .with_for_update(key_share=True)
    )
    studies = [_Facts(*row) for row in rows]
    project = (await lock_projects(connection, [project_id]))[project_id]
    ended = await _ended(connection, project_id, [study.id for study in studies])
    answers: dict[int, Answer] = {}
    named = await _naming(connection, studies, master_key, project_id)
    for study_id, entry in sorted(named, key=lambda one: one[0]):
        if study_id in answers:
            continue
        if study_id in ended and entry.uploaded_at <= ended[study_id]:
            answers[study_id] = Answer([Refusal("study_id", Objection.TAKEN_OUT)])
            continue
        request = _request(study_id, entry)
        answer = await take(connection, request, project, master_key)
        answers[study_id] = answer
        if answer.existing_id is None:
            note = answer.against[0].objection if answer.against else ""
            await connection.execute(
                update(_study).where(_study.c.id == request.study_id).values(routing_note=note)
            )
    return answers


async def _ended(
    connection: Connection, project_id: int, study_ids: Collection[int]
) -> dict[int, datetime]:
    """When a person took studies out of a project, of those that are not in it again."""
    rows = await connection.execute(
        select(_transfer.c.study_id, func.max(_transfer.c.changed_at))
        .where(_transfer.c.study_id.in_(study_ids), _transfer.c.project_id == project_id)
        .group_by(_transfer.c.study_id)
        .having(func.count().filter(_transfer.c.state.not_in(ENDED)) == 0)
    )
    return {row[0]: row[1] for row in rows}
