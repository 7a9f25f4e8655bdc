"""The life of a transfer: requested, running, complete or in need of attention."""

from collections.abc import Iterable

from sqlalchemy import exists, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import IN_FLIGHT, DeliveryState, TransferState, transfer_sources_of
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
    await connection.execute(
        select(_transfer.c.id)
        .where(_transfer.c.id.in_(wanted))
        .order_by(_transfer.c.id)
        .with_for_update()
    )
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


async def lock_studies(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Keep instances from being added to the transfers' studies until this transaction ends."""
    await connection.execute(
        select(_study.c.id)
        .where(
            _study.c.id.in_(
                select(_transfer.c.study_id).where(_transfer.c.id.in_(list(transfer_ids)))
            )
        )
        .order_by(_study.c.id)
        .with_for_update()
    )
