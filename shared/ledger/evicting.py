"""Takes files out of the spool in three steps, so that a crash between them loses nothing.

First the ledger notes which files are about to go; then they go; then it notes that they are gone.
Whoever is stopped in between leaves files that are `leaving`: the next round looks at these once
more, and removes them, or keeps what is still there where something has come between.

The study is locked throughout, like by everybody who adds to it; then the deliveries, then the
transfers, as everywhere. So no image arrives unseen, and no delivery is started again unseen.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.deliveries import lock_where
from shared.ledger.keeping import Rules, StudyFacts, copies_go_at, facts_of, originals_go_at
from shared.ledger.states import AT_REST, Keeping, keeping_sources_of
from shared.ledger.tables import Delivery, Instance, Series, Study, Transfer, core
from shared.ledger.transfers import lock_transfers
from shared.spool import Spool

_study, _series, _instance = core(Study), core(Series), core(Instance)
_transfer, _delivery = core(Transfer), core(Delivery)


class Removed(NamedTuple):
    """Files that went."""

    files: int = 0
    bytes: int = 0
    kept: int = 0
    """Those that were to go, and stay: something had come between."""


async def note_originals(
    connection: Connection, study_id: int, rules: Rules, moment: datetime, limit: int
) -> int:
    """Note which originals of a study are about to go; how many, at most `limit`.

    None where their time has not come, or is not any more.
    """
    await _lock_study(connection, study_id)
    rows = await connection.execute(
        select(_instance.c.id)
        .join_from(_instance, _series)
        .where(_series.c.study_id == study_id, _instance.c.keeping == Keeping.HERE)
        .order_by(_instance.c.id)
        .limit(limit)
    )
    ids = [row.id for row in rows]
    if not ids or not await _rest(connection, _delivery.c.instance_id.in_(ids)):
        return 0
    facts = await _locked_facts(connection, study_id)
    if not _is_due(originals_go_at(facts, rules), moment):
        return 0
    await _move(connection, study_id, ids, Keeping.LEAVING)
    return len(ids)


async def remove_originals(
    connection: Connection, spool: Spool, rules: Rules, moment: datetime, limit: int
) -> Removed | None:
    """Remove originals of a study that are about to go, at most `limit`; None when there are none.

    Raises
    ------
    Retry
        The disk is broken.
    """
    study_id = await connection.scalar(
        select(_series.c.study_id)
        .join_from(_instance, _series)
        .where(_leaving(_instance.c.keeping))
        .order_by(_instance.c.id)
        .limit(1)
    )
    if study_id is None:
        return None
    await _lock_study(connection, study_id)
    found = (await connection.execute(_leaving_originals(study_id, limit))).all()
    ids = [row.id for row in found]
    rests = await _rest(connection, _delivery.c.instance_id.in_(ids))
    facts = await _locked_facts(connection, study_id)
    if rests and _is_due(originals_go_at(facts, rules), moment):
        files, size = await asyncio.to_thread(spool.evict, [row.spool_key for row in found])
        await _move(connection, study_id, ids, Keeping.EVICTED)
        await _forget_series(connection, spool, study_id)
        await connection.execute(
            update(_study).where(_study.c.id == study_id).values(evicted_at=now())
        )
        return Removed(files, size)
    still = await asyncio.to_thread(_there, spool, found)
    await _move(connection, study_id, [one for one in ids if one in still], Keeping.HERE)
    await _move(connection, study_id, [one for one in ids if one not in still], Keeping.EVICTED)
    return Removed(kept=len(still))


async def note_copies(
    connection: Connection, study_id: int, transfer_id: int, moment: datetime, limit: int
) -> int:
    """Note which copies of a transfer are about to go; how many, at most `limit`.

    Where there are none left at all, the transfer says so from now on.
    """
    await _lock_study(connection, study_id)
    rows = await connection.execute(
        select(_delivery.c.id)
        .where(_made(transfer_id), _delivery.c.copy_keeping == Keeping.HERE)
        .order_by(_delivery.c.id)
        .limit(limit)
    )
    ids = [row.id for row in rows]
    if not await _rest(connection, _delivery.c.id.in_(ids)):
        return 0
    facts = await _locked_facts(connection, study_id)
    if not _is_due(_copies_go_at(facts, transfer_id), moment):
        return 0
    if not ids:
        left = exists().where(_made(transfer_id), _delivery.c.copy_keeping != Keeping.EVICTED)
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id == transfer_id, ~left)
            .values(copies_evicted_at=moment)
        )
        return 0
    await _move_copies(connection, ids, Keeping.LEAVING)
    return len(ids)


async def remove_copies(
    connection: Connection, spool: Spool, moment: datetime, limit: int
) -> Removed | None:
    """Remove copies of a transfer that are about to go, at most `limit`; None when there are none.

    Raises
    ------
    Retry
        The disk is broken.
    """
    first = (
        await connection.execute(
            select(_delivery.c.transfer_id, _transfer.c.study_id)
            .join_from(_delivery, _transfer)
            .where(_leaving(_delivery.c.copy_keeping))
            .order_by(_delivery.c.id)
            .limit(1)
        )
    ).first()
    if first is None:
        return None
    await _lock_study(connection, first.study_id)
    rows = await connection.execute(
        select(_delivery.c.id, _delivery.c.released_key.label("spool_key"))
        .where(_made(first.transfer_id), _leaving(_delivery.c.copy_keeping))
        .order_by(_delivery.c.id)
        .limit(limit)
    )
    found = rows.all()
    ids = [row.id for row in found]
    rests = await _rest(connection, _delivery.c.id.in_(ids))
    facts = await _locked_facts(connection, first.study_id)
    if rests and _is_due(_copies_go_at(facts, first.transfer_id), moment):
        files, size = await asyncio.to_thread(spool.evict, [row.spool_key for row in found])
        await _move_copies(connection, ids, Keeping.EVICTED)
        return Removed(files, size)
    # One that is gone is made again where it is needed: nobody relies on this.
    still = await asyncio.to_thread(_there, spool, found)
    await _move_copies(connection, [one for one in ids if one in still], Keeping.HERE)
    await _move_copies(connection, [one for one in ids if one not in still], Keeping.EVICTED)
    return Removed(kept=len(still))


async def _lock_study(connection: Connection, study_id: int) -> None:
    await connection.execute(
        select(_study.c.id).where(_study.c.id == study_id).with_for_update(key_share=True)
    )


async def _rest(connection: Connection, which: ColumnElement[bool]) -> bool:
    """Lock deliveries; whether none of them needs its original or its copy any more."""
    return all(one.state in AT_REST for one in await lock_where(connection, which))


async def _locked_facts(connection: Connection, study_id: int) -> StudyFacts:
    """What matters of a study, whose transfers stay as they are until this transaction ends."""
    ids = await connection.scalars(select(_transfer.c.id).where(_transfer.c.study_id == study_id))
    await lock_transfers(connection, ids.all())
    (facts,) = await facts_of(connection, [study_id])
    return facts


def _is_due(goes_at: datetime | None, moment: datetime) -> bool:
    return goes_at is not None and goes_at <= moment


def _copies_go_at(facts: StudyFacts, transfer_id: int) -> datetime | None:
    (transfer,) = (one for one in facts.transfers if one.id == transfer_id)
    return copies_go_at(facts, transfer)


def _leaving(column: ColumnElement[str]) -> ColumnElement[bool]:
    return column == Keeping.LEAVING


def _made(transfer_id: int) -> ColumnElement[bool]:
    """The deliveries of a transfer that have, or had, a copy."""
    return (_delivery.c.transfer_id == transfer_id) & _delivery.c.released_key.is_not(None)


def _leaving_originals(study_id: int, limit: int) -> Any:
    return (
        select(_instance.c.id, _instance.c.spool_key)
        .join_from(_instance, _series)
        .where(_series.c.study_id == study_id, _leaving(_instance.c.keeping))
        .order_by(_instance.c.id)
        .limit(limit)
    )


def _there(spool: Spool, found: Sequence[Any]) -> set[int]:
    return {row.id for row in found if spool.path(row.spool_key).exists()}


async def _move(connection: Connection, study_id: int, ids: list[int], to: Keeping) -> None:
    """Move originals of a study to `to`, and count those that are not here."""
    if not ids:
        return
    moved = await connection.scalars(
        update(_instance)
        .where(_instance.c.id.in_(ids), _instance.c.keeping.in_(keeping_sources_of(to)))
        .values(keeping=to)
        .returning(_instance.c.series_id)
    )
    by_series = Counter(moved)
    # What is leaving is counted as gone already: nobody is to begin with it.
    sign = {Keeping.LEAVING: 1, Keeping.EVICTED: 0, Keeping.HERE: -1}[to]
    await count_evicted(connection, study_id, {one: sign * n for one, n in by_series.items()})


async def count_evicted(connection: Connection, study_id: int, by_series: dict[int, int]) -> None:
    """Count originals of a study that are not here any more, or are again; the study is locked."""
    for series_id, number in sorted(by_series.items()):
        if number:
            await connection.execute(
                update(_series)
                .where(_series.c.id == series_id)
                .values(evicted=_series.c.evicted + number)
            )
    if total := sum(by_series.values()):
        await connection.execute(
            update(_study).where(_study.c.id == study_id).values(evicted=_study.c.evicted + total)
        )


async def _move_copies(connection: Connection, ids: list[int], to: Keeping) -> None:
    if ids:
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id.in_(ids), _delivery.c.copy_keeping.in_(keeping_sources_of(to)))
            .values(copy_keeping=to)
        )


async def _forget_series(connection: Connection, spool: Spool, study_id: int) -> None:
    """Remove what stands beside the images of series that have none here any more."""
    here = exists().where(
        _instance.c.series_id == _series.c.id, _instance.c.keeping != Keeping.EVICTED
    )
    rows = await connection.execute(
        select(_study.c.study_instance_uid, _series.c.series_instance_uid)
        .join_from(_series, _study, _study.c.id == _series.c.study_id)
        .where(_study.c.id == study_id, ~here)
    )
    empty = [tuple(row) for row in rows]
    await asyncio.to_thread(spool.forget_series, empty)
