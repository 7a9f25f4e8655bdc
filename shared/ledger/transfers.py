"""The life of a transfer: requested, running, complete or in need of attention."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, FromClause, exists, select, true, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import (
    ENDED,
    IN_FLIGHT,
    DeliveryState,
    TransferState,
    Verification,
    WebhookEvent,
    transfer_sources_of,
)
from shared.ledger.tables import Delivery, Destination, Project, SentTo, Study, Transfer, core
from shared.ledger.telling import tell_of_transfers
from shared.priority import Priority

_delivery, _transfer = core(Delivery), core(Transfer)
_study, _project, _destination = core(Study), core(Project), core(Destination)
_sent_to = core(SentTo)


async def run(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers running that have something in flight, for the first time or again."""
    wanted = list(transfer_ids)
    if wanted:
        state = TransferState.RUNNING
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id.in_(wanted), _transfer.c.state.in_(transfer_sources_of(state)))
            .values(
                state=state,
                changed_at=now(),
                # What was found at the destination before says nothing of what comes now.
                verify_at=None,
                verify_attempts=0,
                resent_at=None,
                missing=0,
                reason=None,
                detail="",
                verified_at=None,
                copies_evicted_at=None,  # copies are made again
            )
        )


async def priorities(connection: Connection, transfer_ids: Iterable[int]) -> dict[int, Priority]:
    """How urgent transfers are, by id."""
    rows = await connection.execute(
        select(_transfer.c.id, _transfer.c.priority).where(_transfer.c.id.in_(set(transfer_ids)))
    )
    return {row.id: Priority(row.priority) for row in rows}


async def set_priority(
    connection: Connection, transfer_ids: Iterable[int], priority: Priority
) -> None:
    """Say how urgent transfers are from now on. Their deliveries are locked already."""
    wanted = sorted(set(transfer_ids))
    await lock_transfers(connection, wanted)
    await connection.execute(
        update(_transfer).where(_transfer.c.id.in_(wanted)).values(priority=priority)
    )


async def settle(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers verifying, complete or in need of attention, when nothing is in flight.

    Locks the transfers, so that of two workers who finish the last two deliveries at the same time
    the second sees what the first has done.
    """
    wanted = sorted(set(transfer_ids))
    if not wanted:
        return
    await lock_transfers(connection, wanted)
    ended = [DeliveryState.HELD, DeliveryState.FAILED]
    for state, unless, further, event in (
        (TransferState.VERIFYING, [*IN_FLIGHT, *ended], _is_to_be_verified(), None),
        (TransferState.COMPLETE, [*IN_FLIGHT, *ended], true(), WebhookEvent.TRANSFER_COMPLETE),
        (TransferState.ATTENTION, [*IN_FLIGHT], true(), WebhookEvent.TRANSFER_ATTENTION),
    ):
        changed = await connection.scalars(
            update(_transfer)
            .where(
                _transfer.c.id.in_(wanted),
                _transfer.c.state == TransferState.RUNNING,
                ~exists().where(
                    _delivery.c.transfer_id == _transfer.c.id, _delivery.c.state.in_(unless)
                ),
                further,
            )
            .values(
                state=state,
                changed_at=now(),
                verify_at=now() if state is TransferState.VERIFYING else None,
            )
            .returning(_transfer.c.id)
        )
        if event is not None:
            await tell_of_transfers(connection, event, list(changed))


def _is_to_be_verified() -> ColumnElement[bool]:
    return exists().where(
        _project.c.id == _transfer.c.project_id,
        _destination.c.id == _project.c.destination_id,
        _destination.c.verification != Verification.NONE,
    )


def still_there(transfer: FromClause) -> ColumnElement[bool]:
    """Whether images of a transfer are, may be, or will be in its project."""
    # One that was on its way when it was stopped has arrived, though nobody counts it.
    was_sent = exists().where(_sent_to.c.transfer_id == transfer.c.id)
    stopped_midway = (transfer.c.state == TransferState.CANCELLED) & was_sent
    return transfer.c.state.not_in(ENDED) | stopped_midway


# All locks of rows are `FOR NO KEY UPDATE`: they shut each other out, and leave alone who only
# enters a row that refers to a locked one.


async def lock_transfers(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Lock transfers, in one order everywhere, and after their deliveries."""
    await connection.execute(
        select(_transfer.c.id)
        .where(_transfer.c.id.in_(set(transfer_ids)))
        .order_by(_transfer.c.id)
        .with_for_update(key_share=True)
    )


async def lock_studies(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Keep instances from being added to the transfers' studies until this transaction ends."""
    studies = select(_transfer.c.study_id).where(_transfer.c.id.in_(list(transfer_ids)))
    await _lock_studies(connection, _study.c.id.in_(studies))


async def lock_known(connection: Connection, study_uids: Iterable[str]) -> None:
    """The same, of those of the studies that are in the ledger already."""
    await _lock_studies(connection, _study.c.study_instance_uid.in_(list(study_uids)))


async def _lock_studies(connection: Connection, which: ColumnElement[bool]) -> None:
    await connection.execute(
        select(_study.c.id).where(which).order_by(_study.c.id).with_for_update(key_share=True)
    )
