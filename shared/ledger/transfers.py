"""The life of a transfer: requested, running, complete or in need of attention."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, FromClause, exists, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import (
    ENDED,
    IN_FLIGHT,
    DeliveryState,
    TransferState,
    transfer_sources_of,
)
from shared.ledger.tables import Delivery, Study, Transfer, core

_delivery, _transfer = core(Delivery), core(Transfer)
_study = core(Study)


async def run(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers running that have something in flight, for the first time or again."""
    wanted = list(transfer_ids)
    if wanted:
        state = TransferState.RUNNING
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id.in_(wanted), _transfer.c.state.in_(transfer_sources_of(state)))
            .values(state=state, changed_at=now())
        )


async def settle(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers complete, or in need of attention, when nothing of them is in flight.

    Locks the transfers, so that of two workers who finish the last two deliveries at the same time
    the second sees what the first has done.
    """
    wanted = sorted(set(transfer_ids))
    if not wanted:
        return
    await lock_transfers(connection, wanted)
    ended = [DeliveryState.HELD, DeliveryState.FAILED]
    for state, unless in (
        (TransferState.COMPLETE, [*IN_FLIGHT, *ended]),
        (TransferState.ATTENTION, [*IN_FLIGHT]),
    ):
        await connection.execute(
            update(_transfer)
            .where(
                _transfer.c.id.in_(wanted),
                _transfer.c.state.in_(transfer_sources_of(state)),
                ~exists().where(
                    _delivery.c.transfer_id == _transfer.c.id, _delivery.c.state.in_(unless)
                ),
            )
            .values(state=state, changed_at=now())
        )


def still_there(transfer: FromClause) -> ColumnElement[bool]:
    """Whether images of a transfer are, or will be, in its project."""
    stopped_midway = (transfer.c.state == TransferState.CANCELLED) & (transfer.c.delivered > 0)
    return transfer.c.state.not_in(ENDED) | stopped_midway


async def lock_transfers(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Lock transfers, in one order everywhere, and after their deliveries."""
    await connection.execute(
        select(_transfer.c.id)
        .where(_transfer.c.id.in_(set(transfer_ids)))
        .order_by(_transfer.c.id)
        .with_for_update()
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
        select(_study.c.id).where(which).order_by(_study.c.id).with_for_update()
    )
