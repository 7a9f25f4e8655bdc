"""Enters the instances of a series: new ones, changed ones, repeats, what had been removed."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update

from services.classifier.arrivals import Arrival
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.states import Keeping
from shared.ledger.tables import Instance, core
from shared.ledger.writing import clip
from shared.spool import Spool

_instance = core(Instance)


class _Version(NamedTuple):
    """What the ledger holds of an instance, or is about to; `id` is None when it is new."""

    id: int | None
    digest: str
    revision: int
    key: str
    """Of its file."""
    keeping: str = Keeping.HERE


@dataclass
class Entered:
    """What became of instances."""

    new: list[int] = field(default_factory=list)
    """Ids of new ones."""
    changed: list[int] = field(default_factory=list)
    """Ids of those that arrived again with other content."""
    restored: int = 0
    """Arrived again as they were, after their files had been removed."""
    back: int = 0
    """Those whose files had been removed, or were about to be: restored and changed ones."""
    duplicates: int = 0


async def record_instances(
    connection: Connection, spool: Spool, series_id: int, arrivals: list[Arrival]
) -> Entered:
    """Enter the instances of a series, and give their files their places in the spool."""
    entered = Entered()
    rows = await connection.execute(
        select(
            _instance.c.sop_instance_uid,
            _instance.c.id,
            _instance.c.digest,
            _instance.c.revision,
            _instance.c.spool_key,
            _instance.c.keeping,
        ).where(
            _instance.c.series_id == series_id,
            _instance.c.sop_instance_uid.in_({arrival.sop_uid for arrival in arrivals}),
        )
    )
    known = {row[0]: _Version(*row[1:]) for row in rows}
    moves: dict[str, str] = {}
    back: dict[int, int] = {}
    new: dict[str, dict[str, Any]] = {}
    changed: dict[str, dict[str, Any]] = {}
    restored: dict[str, dict[str, Any]] = {}
    for arrival in arrivals:
        version = known.get(arrival.sop_uid, _Version(None, "", 0, ""))
        same = version.digest == arrival.digest
        if same and version.keeping == Keeping.HERE:
            entered.duplicates += 1
            if version.id is not None and not spool.path(version.key).exists():
                # The original was lost (docs/operations.md), and is sent again to bring it back.
                moves[arrival.key] = version.key
                back[version.id] = arrival.size
            continue
        entered.back += version.keeping != Keeping.HERE
        # What comes back as it was is no news for those who have it already.
        revision = version.revision if same else version.revision + 1
        key = spool.received_key(arrival.study_uid, arrival.series_uid, arrival.sop_uid, revision)
        known[arrival.sop_uid] = version = _Version(version.id, arrival.digest, revision, key)
        moves[arrival.key] = key
        # Of several versions in one batch each keeps its file, and the last one counts.
        sort = restored if same else new if version.id is None else changed
        sort[arrival.sop_uid] = {
            "sop_class_uid": arrival.sop_class_uid,
            "transfer_syntax_uid": clip(
                _instance, "transfer_syntax_uid", arrival.transfer_syntax_uid
            ),
            "spool_key": key,
            "size": arrival.size,
            "digest": version.digest,
            "revision": version.revision,
            "keeping": Keeping.HERE,
            "association_id": spool.association_of(arrival.key),
            "received_at": now(),
        }
    if moves:
        await asyncio.to_thread(spool.adopt, moves)
    await _insert(connection, series_id, new, entered)
    entered.changed += await _change(connection, known, changed)
    # Of one that was changed as well in the same batch, that counts.
    only = {sop_uid: row for sop_uid, row in restored.items() if sop_uid not in changed}
    entered.restored = len(await _change(connection, known, only))
    for row_id, size in back.items():
        # The file meta in front of the same data set may be longer or shorter than it was.
        await connection.execute(
            update(_instance).where(_instance.c.id == row_id).values(size=size)
        )
    return entered


async def _insert(
    connection: Connection, series_id: int, new: dict[str, dict[str, Any]], entered: Entered
) -> None:
    if not new:
        return
    await connection.execute(
        insert(_instance),
        [
            row | {"series_id": series_id, "sop_instance_uid": sop_uid}
            for sop_uid, row in new.items()
        ],
    )
    ids = await connection.scalars(
        select(_instance.c.id).where(
            _instance.c.series_id == series_id, _instance.c.sop_instance_uid.in_(list(new))
        )
    )
    entered.new += ids.all()


async def _change(
    connection: Connection, known: dict[str, _Version], by_uid: dict[str, dict[str, Any]]
) -> list[int]:
    """Change the rows of instances that are known; their ids."""
    changed = {known[sop_uid].id: row for sop_uid, row in by_uid.items()}
    if not changed:
        return []
    columns = next(iter(changed.values()))
    await connection.execute(
        update(_instance)
        .where(_instance.c.id == bindparam("b_id"))
        .values({name: bindparam(f"v_{name}") for name in columns}),
        [
            {"b_id": row_id} | {f"v_{name}": value for name, value in row.items()}
            for row_id, row in changed.items()
        ],
    )
    return [row_id for row_id in changed if row_id is not None]
