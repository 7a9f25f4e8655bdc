"""The ledger beside the spool: what has a row and no file, and what has a file and no row.

Services may be at work meanwhile. The classifier gives a file its place, commits its row, and takes
it off the inbox, in this order; so a file that has no row *after* it was seen not to be in the
inbox has none. And a row whose file is missing counts only if the row is still there afterwards.
"""

import asyncio
import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from shared.errors import Reject
from shared.imagedigest import digest_of
from shared.inventory import Found, Inventory
from shared.ledger import Ledger
from shared.ledger.states import DeliveryState, Keeping
from shared.ledger.tables import Delivery, Instance, Quarantine, Series, Study, core

_AT_ONCE = 200
_YOUNG = 3600.0  # seconds that a copy may lie before its row says so: a batch takes a few
_REVISION = re.compile(r"(?:\.r([0-9]+))?\.dcm$")

_study, _series, _instance = core(Study), core(Series), core(Instance)
_delivery, _quarantine = core(Delivery), core(Quarantine)


@dataclass
class Comparison:
    """What was found."""

    files: int = 0
    instances: int = 0
    looked_into: int = 0
    """Files whose content was compared."""
    orphans: list[str] = field(default_factory=list)
    """Originals and quarantined files that the ledger does not know."""
    leftovers: list[str] = field(default_factory=list)
    """Copies that no delivery knows: made again when they are needed."""
    lost: list[int] = field(default_factory=list)
    """Ids of instances whose original is gone."""
    changed: list[int] = field(default_factory=list)
    """Ids of instances whose original is not what was received."""
    quarantine_lost: list[int] = field(default_factory=list)
    copies_gone: list[int] = field(default_factory=list)
    """Ids of deliveries whose copy is gone and was not sent yet."""


async def compare(
    ledger: Ledger, spool: Inventory, *, sample: float, alone: bool = False
) -> Comparison:
    """Compare all of the ledger with all of the spool.

    Parameters
    ----------
    sample
        Which part of the originals is read and compared by content, 0 to 1.
    alone
        Nobody else is at work: what is new is not about to get its row.
    """
    found = Comparison()
    await _originals(ledger, spool, found, sample)
    await _received(ledger, spool, found)
    await _quarantined(ledger, spool, found)
    await _released(ledger, spool, found, 0.0 if alone else _YOUNG)
    await _copies(ledger, spool, found)
    return found


async def _originals(ledger: Ledger, spool: Inventory, found: Comparison, sample: float) -> None:
    last = 0
    while True:
        async with ledger.reading() as connection:
            rows = (
                await connection.execute(
                    select(
                        _instance.c.id, _instance.c.spool_key, _instance.c.size, _instance.c.digest
                    )
                    .where(_instance.c.id > last, _instance.c.keeping == Keeping.HERE)
                    .order_by(_instance.c.id)
                    .limit(_AT_ONCE)
                )
            ).all()
        if not rows:
            return
        last = rows[-1].id
        found.instances += len(rows)
        lost = await asyncio.to_thread(_look, spool, rows, found, sample)
        found.lost += await _still_so(ledger, lost)


def _look(spool: Inventory, rows: Sequence[Any], found: Comparison, sample: float) -> list[Any]:
    lost = []
    for row in rows:
        size = spool.size(row.spool_key)
        if size is None:
            lost.append(row)
        elif size != row.size:
            found.changed.append(row.id)
        elif random.random() < sample:  # noqa: S311
            found.looked_into += 1
            try:
                if digest_of(spool.path(row.spool_key)) != row.digest:
                    found.changed.append(row.id)
            except FileNotFoundError:
                lost.append(row)
            except (Reject, OSError):
                found.changed.append(row.id)
    return lost


async def _still_so(ledger: Ledger, lost: Sequence[Any]) -> list[int]:
    """Those whose rows still name the file that is missing."""
    if not lost:
        return []
    keys = {row.id: row.spool_key for row in lost}
    async with ledger.reading() as connection:
        rows = await connection.execute(
            select(_instance.c.id, _instance.c.spool_key).where(_instance.c.id.in_(keys))
        )
        return sorted(row.id for row in rows if keys[row.id] == row.spool_key)


async def _received(ledger: Ledger, spool: Inventory, found: Comparison) -> None:
    folders = await asyncio.to_thread(spool.folders, "received")
    for some in _batches(folders):
        files = [
            one
            for folder in some
            for one in await asyncio.to_thread(spool.in_folder, "received", folder)
        ]
        found.files += len(files)
        suspects = [one for one in files if one.name.endswith(".dcm")]
        suspects = await _without_rows(ledger, some, suspects)
        if suspects:
            arriving = await asyncio.to_thread(_inodes, spool)
            suspects = [one for one in suspects if one.inode not in arriving]
            suspects = await _without_rows(ledger, some, suspects)
        found.orphans += [one.name for one in suspects]


def _inodes(spool: Inventory) -> set[int]:
    return {one.inode for one in spool.files("inbox")}


async def _without_rows(
    ledger: Ledger, studies: Sequence[str], files: Iterable[Found]
) -> list[Found]:
    async with ledger.reading() as connection:
        rows = await connection.execute(
            select(
                _study.c.study_instance_uid, _series.c.series_instance_uid,
                _instance.c.sop_instance_uid, _instance.c.revision,
            )
            .join_from(_instance, _series)
            .join(_study)
            .where(_study.c.study_instance_uid.in_(studies))
        )  # fmt: skip
        known = {f"received/{row[0]}/{row[1]}/{row[2]}": row[3] for row in rows}
    return [one for one in files if _revision(one.name) > known.get(_plain(one.name), 0)]


def _plain(name: str) -> str:
    return _REVISION.sub("", name)


def _revision(name: str) -> int:
    # Earlier revisions of an instance stay beside the one that its row names.
    found = _REVISION.search(name)
    return int(found[1]) if found and found[1] else 1


async def _quarantined(ledger: Ledger, spool: Inventory, found: Comparison) -> None:
    files = await asyncio.to_thread(lambda: list(spool.files("quarantine")))
    found.files += len(files)
    there = {one.name for one in files}
    arriving = await asyncio.to_thread(_inodes, spool)
    async with ledger.reading() as connection:
        rows = (await connection.execute(select(_quarantine.c.id, _quarantine.c.spool_key))).all()
    known = {row.spool_key for row in rows}
    found.orphans += [
        one.name
        for one in files
        if one.name.endswith(".dcm") and one.name not in known and one.inode not in arriving
    ]
    found.quarantine_lost += [
        row.id for row in rows if row.spool_key not in there and spool.size(row.spool_key) is None
    ]


async def _released(ledger: Ledger, spool: Inventory, found: Comparison, young: float) -> None:
    for some in _batches(await asyncio.to_thread(spool.folders, "released")):
        files = [
            one
            for folder in some
            for one in await asyncio.to_thread(spool.in_folder, "released", folder)
        ]
        found.files += len(files)
        async with ledger.reading() as connection:
            known = set(
                await connection.scalars(
                    select(_delivery.c.released_key).where(
                        _delivery.c.transfer_id.in_([int(one) for one in some if one.isdigit()])
                    )
                )
            )
        newest = (time.time() - young) * 1e9
        found.leftovers += [
            one.name for one in files if one.name not in known and one.modified_ns < newest
        ]


async def _copies(ledger: Ledger, spool: Inventory, found: Comparison) -> None:
    """Copies that wait to be sent. Those of what was sent are not needed any more."""
    last = 0
    while True:
        async with ledger.reading() as connection:
            rows = (
                await connection.execute(
                    select(_delivery.c.id, _delivery.c.released_key)
                    .where(_delivery.c.id > last, _delivery.c.state == DeliveryState.ANONYMIZED)
                    .order_by(_delivery.c.id)
                    .limit(_AT_ONCE)
                )
            ).all()
        if not rows:
            return
        last = rows[-1].id
        gone = [row for row in rows if not row.released_key or spool.size(row.released_key) is None]
        if gone:
            async with ledger.reading() as connection:
                found.copies_gone += await connection.scalars(
                    select(_delivery.c.id).where(
                        _delivery.c.id.in_([row.id for row in gone]),
                        _delivery.c.state == DeliveryState.ANONYMIZED,
                    )
                )


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
