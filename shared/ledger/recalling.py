"""Takes transfers back: cancels what is under way, and recalls what was delivered.

A recall is a release that is to be deleted at a destination, by Sluse or by a person: one for each
place that something of the transfer went to. How the deletion goes is in `shared.ledger.deleting`.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update

from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.couplings import Kind, spellings
from shared.ledger.database import Connection
from shared.ledger.deliveries import lock, withdraw
from shared.ledger.states import (
    ENDED,
    Deletion,
    RecallState,
    TransferState,
    transfer_sources_of,
)
from shared.ledger.tables import (
    Coupling,
    Delivery,
    Destination,
    Project,
    Recall,
    Release,
    SentTo,
    Study,
    Transfer,
    core,
)
from shared.ledger.transfers import still_there

_transfer, _destination, _project = core(Transfer), core(Destination), core(Project)
_recall, _release, _coupling = core(Recall), core(Release), core(Coupling)
_study, _delivery, _sent_to = core(Study), core(Delivery), core(SentTo)
_other = _transfer.alias("other")

BY_SLUSE = frozenset({Deletion.ORTHANC, Deletion.DICOMWEB})
"""How Sluse deletes by itself."""
NO_DELETIONS = "the destination takes no deletions"
"""Why a person deletes."""
_NOT_OVERWRITTEN = "the copies that should have taken their place did not come"
_IN_DOUBT = timedelta(minutes=2)
"""After that an image that was on its way has arrived, or never will."""


async def cancel(connection: Connection, transfer_id: int) -> bool:
    """Stop a transfer; what is delivered stays there. Whether it could be stopped.

    The caller holds the lock of the study, so that no instance is added meanwhile.
    """
    await lock(connection, transfer_id)
    before = await _state(connection, transfer_id)
    if not await _end(connection, transfer_id, TransferState.CANCELLED):
        return False
    await withdraw(connection, transfer_id, forwarded=False)
    await _overwrites_nothing(connection, before)
    return True


async def recall(connection: Connection, transfer_id: int, *, replaced: bool = False) -> bool:
    """Take a transfer back, with what is delivered of it. Whether it could be taken back.

    The caller holds the lock of the study.

    Parameters
    ----------
    replaced
        Copies with the same UIDs are to take its place.
    """
    await lock(connection, transfer_id)
    before = await _state(connection, transfer_id)
    if not await _end(connection, transfer_id, TransferState.RECALLED):
        return False
    in_doubt = await withdraw(connection, transfer_id, forwarded=True)
    # What was on its way when it was cancelled may still come.
    if before.state == TransferState.CANCELLED and before.changed_at > now() - _IN_DOUBT:
        in_doubt = True
    if not replaced:
        await _overwrites_nothing(connection, before)
    moment = now()
    released = await connection.scalar(
        select(func.count()).where(
            _delivery.c.transfer_id == transfer_id, _delivery.c.released_sop_uid.is_not(None)
        )
    )
    places = await connection.execute(
        select(_release.c.released_study_uid, _destination.c.id, _destination.c.deletion)
        .join_from(_transfer, _sent_to)
        .join(_destination, _destination.c.id == _sent_to.c.destination_id)
        .join(
            _release,
            (_release.c.study_id == _transfer.c.study_id)
            & (_release.c.project_id == _transfer.c.project_id),
        )
        .where(_transfer.c.id == transfer_id)
        .order_by(_destination.c.id)
    )
    for place in places.all():
        # Only where the right copies go, too, do they take the place of the wrong ones.
        overwritten = replaced and place.id == before.destination_id
        state, why = _how(Deletion(place.deletion), replaced=overwritten)
        await connection.execute(
            insert(_recall).values(
                transfer_id=transfer_id,
                destination_id=place.id,
                released_study_uid=place.released_study_uid,
                instances=released,
                state=state,
                detail=why,
                asked_at=moment,
                due_at=moment,
                # What is on its way may come after the deletion, and nobody live to say so.
                again_at=moment + _IN_DOUBT if in_doubt else None,
                attempts=0,
                done_at=moment if state is RecallState.DONE else None,
            )
        )
    return True


def _how(deletion: Deletion, *, replaced: bool) -> tuple[RecallState, str]:
    """How a recall begins at a destination, and why it is not Sluse that deletes."""
    if deletion in BY_SLUSE:
        return RecallState.ASKED, ""
    if replaced and deletion is Deletion.OVERWRITES:
        return RecallState.DONE, ""
    return RecallState.BY_HAND, NO_DELETIONS


async def _state(connection: Connection, transfer_id: int) -> Any:
    """A transfer's state as a row, and the destination that its project has now."""
    rows = await connection.execute(
        select(
            _transfer.c.study_id,
            _transfer.c.project_id,
            _transfer.c.state,
            _transfer.c.changed_at,
            _project.c.destination_id,
        )
        .join_from(_transfer, _project)
        .where(_transfer.c.id == transfer_id)
    )
    return rows.one()


async def _overwrites_nothing(connection: Connection, transfer: Any) -> None:
    """What the copies of a transfer were to take the place of stays there, as they never will."""
    if transfer.state in (TransferState.VERIFYING, TransferState.COMPLETE):
        return
    same = select(_other.c.id).where(
        _other.c.study_id == transfer.study_id, _other.c.project_id == transfer.project_id
    )
    await connection.execute(
        update(_recall)
        .where(
            _recall.c.transfer_id.in_(same),
            _recall.c.state == RecallState.DONE,
            _recall.c.done_at == _recall.c.asked_at,  # done without anybody's doing
        )
        .values(state=RecallState.BY_HAND, done_at=None, detail=_NOT_OVERWRITTEN)
    )


async def _end(connection: Connection, transfer_id: int, state: TransferState) -> bool:
    result = await connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id, _transfer.c.state.in_(transfer_sources_of(state)))
        .values(state=state, changed_at=now())
    )
    return result.rowcount > 0


async def uncouple(
    connection: Connection, transfer_id: int, patient_id: str, master_key: MasterKey
) -> None:
    """Forget that the patient is the participant of a transfer that was taken back, where no other
    transfer in force says so.
    """
    mistaken = (
        select(_transfer.c.participant_id).where(_transfer.c.id == transfer_id).scalar_subquery()
    )
    await connection.execute(
        delete(_coupling).where(
            _coupling.c.participant_id == mistaken,
            _coupling.c.patient_key == master_key.index(Kind.PATIENT, patient_id),
            ~exists().where(
                _other.c.participant_id == mistaken,
                still_there(_other),
                _study.c.id == _other.c.study_id,
                _study.c.patient_id.in_(spellings(patient_id)),
            ),
        )
    )


def waits_for_deletion() -> ColumnElement[bool]:
    """Whether a transfer must not start yet: copies of the same study in the same project, with
    the same UIDs, are still to be deleted at the destination, and its own would go with them.
    """
    return exists().where(
        _recall.c.state != RecallState.DONE,
        _other.c.id == _recall.c.transfer_id,
        _other.c.study_id == _transfer.c.study_id,
        _other.c.project_id == _transfer.c.project_id,
    )


async def startable(connection: Connection, transfer_ids: Iterable[int]) -> list[int]:
    """Those of the transfers that are in force and need not wait for a deletion."""
    found = await connection.scalars(
        select(_transfer.c.id)
        .where(
            _transfer.c.id.in_(list(transfer_ids)),
            _transfer.c.state.not_in(ENDED),
            ~waits_for_deletion(),
        )
        .order_by(_transfer.c.id)
    )
    return list(found)
