"""Stops transfers, takes them back and corrects them."""

from typing import Any, NamedTuple

from sqlalchemy import exists, select

from services.api.problems import ProblemError, not_found, rule_broken
from services.api.transfers.schemas import TransferCorrection
from services.api.transfers.service import project_of, transfer_of
from shared.admission import Way
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.assigning import Request, lock_projects, take
from shared.ledger.auditing import Action, audit
from shared.ledger.recalling import cancel, recall, uncouple
from shared.ledger.states import TransferState
from shared.ledger.tables import Participant, SentTo, Study, Transfer, core
from shared.ledger.transfers import lock_studies
from shared.ledger.verifying import accept

_transfer, _participant = core(Transfer), core(Participant)
_study, _sent = core(Study), core(SentTo)

_WHY_NOT = {
    TransferState.VERIFYING: "Everything is delivered. If that is wrong, correct it instead.",
    TransferState.COMPLETE: "Everything is delivered. If that is wrong, correct it instead.",
    TransferState.CANCELLED: "It is cancelled already.",
    TransferState.RECALLED: "It was taken back already.",
}


class _Wrong(NamedTuple):
    """The transfer that is to be corrected."""

    id: int
    state: str
    study_id: int
    project_id: int
    participant_id: int
    participant: str
    event: str
    site: str
    patient_id: str

    @property
    def place(self) -> dict[str, Any]:
        """Where it goes, for the audit: internal ids."""
        return {
            "project": self.project_id,
            "participant": self.participant_id,
            "event": self.event,
            "site": self.site,
        }


async def stop(connection: Connection, transfer_id: int) -> None:
    """Cancel a transfer; a problem when there is nothing to stop."""
    before = await _locked(connection, transfer_id)
    if not await cancel(connection, transfer_id):
        # The last image may have been delivered since.
        state = TransferState((await _read(connection, transfer_id)).state)
        raise ProblemError(409, _WHY_NOT[state])
    await audit(
        connection,
        Action.TRANSFER_CANCELLED,
        transfer=transfer_id,
        before={"state": before.state},
        after={"state": TransferState.CANCELLED},
    )


async def accept_as_is(connection: Connection, transfer_id: int) -> None:
    """Take a transfer for complete; a problem when more stands against it than its verification."""
    before = await _locked(connection, transfer_id)
    if not await accept(connection, transfer_id):
        raise ProblemError(409, "Nothing is to be accepted here: see its state and its counts.")
    await audit(
        connection,
        Action.TRANSFER_ACCEPTED,
        transfer=transfer_id,
        before={"state": before.state},
        after={"state": TransferState.COMPLETE},
    )


async def undo(connection: Connection, transfer_id: int, master_key: MasterKey) -> None:
    """Take an assignment back of which nothing has been sent; a problem when something has."""
    await _locked(connection, transfer_id)
    gone = exists().where(_sent.c.transfer_id == transfer_id).select()
    if await connection.scalar(gone):
        raise ProblemError(409, "Images have been sent already: have it taken back or corrected.")
    await take_back(connection, transfer_id, master_key)


async def take_back(connection: Connection, transfer_id: int, master_key: MasterKey) -> None:
    """Take a transfer back without another in its place; a problem when it was already."""
    wrong = await _locked(connection, transfer_id)
    await _recall(connection, wrong, replaced=False)
    await lock_projects(connection, {wrong.project_id})
    await uncouple(connection, wrong.id, wrong.patient_id, master_key)
    await audit(
        connection,
        Action.TRANSFER_RECALLED,
        transfer=transfer_id,
        before={"state": wrong.state},
        after={"state": TransferState.RECALLED},
    )


async def correct(
    connection: Connection, transfer_id: int, body: TransferCorrection, master_key: MasterKey
) -> int:
    """Take a transfer back and enter the right one; its id. A problem when the gate refuses: then
    the caller's transaction fails, and nothing is taken back.
    """
    wrong = await _locked(connection, transfer_id)
    wanted = await _wanted(connection, wrong, body)
    await _recall(connection, wrong, replaced=wanted.project_id == wrong.project_id)
    # Projects after deliveries, as those lock them who take what arrives.
    projects = await lock_projects(connection, {wrong.project_id, wanted.project_id})
    await uncouple(connection, wrong.id, wrong.patient_id, master_key)
    project = projects[wanted.project_id]
    made = transfer_of(await take(connection, wanted, project, master_key), project)
    await audit(
        connection,
        Action.TRANSFER_CORRECTED,
        study=wrong.study_id,
        before={"transfer": transfer_id, "state": wrong.state} | wrong.place,
        after={"transfer": made} | (await _read(connection, made)).place,
    )
    return made


async def _recall(connection: Connection, wrong: _Wrong, *, replaced: bool) -> None:
    if not await recall(connection, wrong.id, replaced=replaced):
        raise ProblemError(409, _WHY_NOT[TransferState(wrong.state)])


async def _wanted(connection: Connection, wrong: _Wrong, body: TransferCorrection) -> Request:
    """What the study is to come into: as before where the correction says nothing else."""
    given = body.model_dump(exclude_unset=True, exclude_none=True, exclude={"confirmed"})
    if not given:
        raise rule_broken("participant", "Say what is wrong: give the right value of a field.")
    project_id = wrong.project_id
    if body.project is not None:
        project_id = await project_of(connection, body.project)
    stays = project_id == wrong.project_id
    # Another project has other participants, events and sites.
    participant = given.get("participant", wrong.participant if stays else None)
    event = given.get("event", wrong.event if stays else "")
    site = given.get("site", wrong.site if stays else "")
    if stays and (participant, event, site) == (wrong.participant, wrong.event, wrong.site):
        raise rule_broken(next(iter(given)), "It is so already.")
    trusted = participant == wrong.patient_id and await _was_trusted(connection, wrong.study_id)
    return Request(
        study_id=wrong.study_id,
        project_id=project_id,
        way=Way.CORRECTION,
        participant=participant,
        event=event,
        site=site,
        trusted=trusted,
        # Who is whom stays as it is.
        confirmed=body.confirmed or (stays and participant == wrong.participant),
        corrects_id=wrong.id,
    )


async def _was_trusted(connection: Connection, study_id: int) -> bool:
    """Whether the study came with a pseudonym for a patient id: the gate let it pass as one."""
    same = (
        exists()
        .where(
            _transfer.c.study_id == study_id,
            _study.c.id == study_id,
            _participant.c.id == _transfer.c.participant_id,
            _participant.c.pseudonym == _study.c.patient_id,
        )
        .select()
    )
    return bool(await connection.scalar(same))


async def _locked(connection: Connection, transfer_id: int) -> _Wrong:
    """The transfer; nothing is added to its study until this transaction ends."""
    await lock_studies(connection, [transfer_id])
    return await _read(connection, transfer_id)


async def _read(connection: Connection, transfer_id: int) -> _Wrong:
    rows = await connection.execute(
        select(
            _transfer.c.id,
            _transfer.c.state,
            _transfer.c.study_id,
            _transfer.c.project_id,
            _transfer.c.participant_id,
            _participant.c.pseudonym,
            _transfer.c.event,
            _transfer.c.site,
            _study.c.patient_id,
        )
        .join_from(_transfer, _participant)
        .join(_study, _study.c.id == _transfer.c.study_id)
        .where(_transfer.c.id == transfer_id)
    )
    row = rows.first()
    if row is None:
        raise not_found("transfer")
    return _Wrong(*row)
