"""What the doctor does about what it found: only what loses nothing, whoever works meanwhile."""

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import func, insert, select, update

from services.keeping.doctor.accounts import COUNTERS, Accounts, counted
from shared.clock import now
from shared.errors import Reason
from shared.inventory import Inventory
from shared.ledger import Connection, Ledger
from shared.ledger.deliveries import lock, lock_batch, move
from shared.ledger.recalling import startable
from shared.ledger.starting import assign
from shared.ledger.states import IN_FLIGHT, DeliveryState
from shared.ledger.tables import Delivery, Finding, Instance, Series, Study, Transfer, core
from shared.ledger.transfers import lock_studies, lock_transfers, settle
from shared.spool import Association, Spool

_delivery, _finding, _transfer = core(Delivery), core(Finding), core(Transfer)
_study, _series, _instance = core(Study), core(Series), core(Instance)
_AT_ONCE = 500
_STEP = "doctor"
_GONE = "the original is gone from the spool: have it sent again, then retry"


def adopt(spool: Spool, orphans: Iterable[str]) -> int:
    """Put files that the ledger does not know back into the inbox; how many.

    The classifier catalogues them as if they arrived just now. Nobody knows any more
    who sent them.
    """
    inventory, adopted = spool.inventory(), 0
    for _, names in groupby(sorted(orphans), key=lambda name: name.split("/")[1]):
        association_id, moment = uuid.uuid4().hex, now()
        spool.write_association(
            association_id,
            Association(
                calling_aet="", called_aet="", peer_address="", opened_at=moment, closed_at=moment
            ),
        )
        for number, name in enumerate(names, start=1):
            # Renamed, not linked: the classifier may be done with it before this line is.
            adopted += inventory.rename(name, spool.inbox_key(association_id, number))
    return adopted


async def start_again(ledger: Ledger, delivery_ids: Sequence[int]) -> int:
    """Have copies made again that are gone; how many."""
    started = 0
    for some in _batches(delivery_ids):
        async with ledger.transaction() as connection:
            started += len(await _move(connection, some, DeliveryState.ASSIGNED, reason=None))
    return started


async def hold_without_original(ledger: Ledger, spool: Inventory, lost: Sequence[int]) -> int:
    """Hold what is on its way and can't be made any more, for a person; how many."""
    held = 0
    for some in _batches(lost):
        async with ledger.transaction() as connection:
            ids = await connection.scalars(
                select(_delivery.c.id).where(
                    _delivery.c.instance_id.in_(some), _delivery.c.state.in_(IN_FLIGHT)
                )
            )
            stranded = list(ids)
            await lock_batch(connection, stranded)
            stranded = await _without_copy(connection, spool, stranded)
            await _move(connection, stranded, DeliveryState.ASSIGNED, reason=None)
            moved = await _move(
                connection, stranded, DeliveryState.HELD, reason=Reason.SPOOL_FILE_MISSING
            )
            await _say_why(connection, moved)
            held += len(moved)
    return held


async def _without_copy(connection: Connection, spool: Inventory, ids: Sequence[int]) -> list[int]:
    """Those that have no copy either: what is ready to be sent needs no original."""
    rows = await connection.execute(
        select(_delivery.c.id, _delivery.c.state, _delivery.c.released_key).where(
            _delivery.c.id.in_(ids)
        )
    )
    return [
        row.id
        for row in rows
        if row.state != DeliveryState.ANONYMIZED
        or not row.released_key
        or spool.size(row.released_key) is None
    ]


async def _say_why(connection: Connection, held: Iterable[int]) -> None:
    rows = [
        {
            "delivery_id": one, "reason": Reason.SPOOL_FILE_MISSING, "found_at": now(),
            "evidence": {"detail": _GONE},
        }
        for one in sorted(held)
    ]  # fmt: skip
    if rows:
        await connection.execute(insert(_finding), rows)
        transfers = await connection.scalars(
            select(_delivery.c.transfer_id).where(_delivery.c.id.in_(list(held))).distinct()
        )
        await settle(connection, transfers.all())


async def _move(
    connection: Connection, ids: Sequence[int], to: DeliveryState, *, reason: Reason | None
) -> set[int]:
    rows = await connection.execute(
        select(_delivery.c.id, _delivery.c.revision).where(_delivery.c.id.in_(ids))
    )
    wanted = [
        {
            "id": row.id, "revision": row.revision, "since": None, "reason": reason,
            "detail": _GONE if reason else "",
        }
        for row in rows
    ]  # fmt: skip
    if not wanted:
        return set()
    return await move(connection, to, wanted, due_at=now(), step=_STEP)


async def settle_accounts(ledger: Ledger, accounts: Accounts, patience: float) -> None:
    """Make the accounts what the deliveries and instances are."""
    for some in _batches(accounts.unassigned):
        async with ledger.transaction() as connection:
            await lock_studies(connection, some)
            await assign(connection, await startable(connection, some), patience=patience)
    for transfer_id in sorted({*accounts.transfers, *accounts.unsettled}):
        async with ledger.transaction() as connection:
            await lock(connection, transfer_id)
            await lock_transfers(connection, [transfer_id])
            await _count_again(connection, transfer_id)
            await settle(connection, [transfer_id])
    for study_id in accounts.studies:
        async with ledger.transaction() as connection:
            await _count_study(connection, study_id)


async def _count_again(connection: Connection, transfer_id: int) -> None:
    real = counted()
    row = (
        await connection.execute(select(real).where(real.c.transfer_id == transfer_id))
    ).one_or_none()
    await connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id)
        .values({name: getattr(row, name) if row else 0 for name in COUNTERS})
    )


async def _count_study(connection: Connection, study_id: int) -> None:
    # As who enters instances does: the study first.
    await connection.execute(
        select(_study.c.id).where(_study.c.id == study_id).with_for_update(key_share=True)
    )
    in_series = select(func.count()).where(_instance.c.series_id == _series.c.id).scalar_subquery()
    await connection.execute(
        update(_series).where(_series.c.study_id == study_id).values(instances=in_series)
    )
    all_series = select(func.count()).where(_series.c.study_id == study_id).scalar_subquery()
    in_study = (
        select(func.coalesce(func.sum(_series.c.instances), 0))
        .where(_series.c.study_id == study_id)
        .scalar_subquery()
    )
    await connection.execute(
        update(_study).where(_study.c.id == study_id).values(instances=in_study, series=all_series)
    )


async def remove_leftovers(spool: Inventory, names: Iterable[str]) -> int:
    """Remove copies that no delivery knows; how many."""
    return await asyncio.to_thread(spool.remove, names)


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
