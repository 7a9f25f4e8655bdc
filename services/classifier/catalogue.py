"""Enters arrived files into the ledger, in one transaction per batch."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from services.classifier.arrivals import Arrival, Unusable
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.tables import Association, Instance, Quarantine, Series, Study, core
from shared.ledger.writing import clip, insert_or
from shared.spool import Association as Sender
from shared.spool import Spool

_association, _study, _series = core(Association), core(Study), core(Series)
_instance, _quarantine = core(Instance), core(Quarantine)

# Facts that become columns of the study, by the column's name.
_STUDY_COLUMNS = {
    "patient_id": 0x00100020,
    "patient_name": 0x00100010,
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
    "accession_number": 0x00080050,
    "study_date": 0x00080020,
    "study_description": 0x00081030,
}
_SERIES_COLUMNS = {
    "modality": 0x00080060,
    "series_number": 0x00200011,
    "series_description": 0x0008103E,
}


@dataclass(frozen=True)
class SeriesRow:
    """A series in the ledger."""

    id: int
    study_id: int
    study_uid: str
    series_uid: str


class _Version(NamedTuple):
    """What the ledger holds of an instance, or is about to; `id` is None when it is new."""

    id: int | None
    digest: str
    revision: int


@dataclass
class Recorded:
    """What a batch changed."""

    series: list[SeriesRow] = field(default_factory=list)
    """Every series that the batch touched."""
    senders: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The associations that brought something of each study, by study id."""
    new: list[int] = field(default_factory=list)
    """Ids of new instances."""
    changed: list[int] = field(default_factory=list)
    """Ids of instances that arrived again with other content."""
    duplicates: int = 0


async def record_senders(connection: Connection, senders: dict[str, Sender]) -> None:
    """Enter associations, or how they ended."""
    for association_id, sender in sorted(senders.items()):
        closing = {"closed_at": sender.closed_at, "completed": sender.completed}
        statement = insert_or(connection, _association).values(
            id=association_id,
            calling_aet=clip(_association, "calling_aet", sender.calling_aet),
            called_aet=clip(_association, "called_aet", sender.called_aet),
            peer_address=clip(_association, "peer_address", sender.peer_address),
            opened_at=sender.opened_at,
            **closing,
        )
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_=closing)
            if sender.closed_at
            else statement.on_conflict_do_nothing(index_elements=["id"])
        )


async def quarantine(connection: Connection, spool: Spool, unusable: Iterable[Unusable]) -> None:
    """Enter files that can't be catalogued, and give them their place."""
    rows, moves = [], {}
    for one in unusable:
        moves[one.key] = spool.quarantine_key(one.key)
        rows.append(
            {
                "spool_key": moves[one.key],
                "association_id": spool.association_of(one.key),
                "reason": one.reason,
                "detail": clip(_quarantine, "detail", one.detail),
                "size": one.size,
                "received_at": now(),
            }
        )
    if rows:
        await asyncio.to_thread(spool.adopt, moves)
        await connection.execute(
            insert_or(connection, _quarantine).on_conflict_do_nothing(index_elements=["spool_key"]),
            rows,
        )


async def record(connection: Connection, spool: Spool, arrivals: list[Arrival]) -> Recorded:
    """Enter studies, series and instances, and give the files their places in the spool.

    Touching a study's row locks it until the transaction ends, so that no transfer of the study is
    expanded meanwhile and no other classifier enters the same instances.
    """
    recorded = Recorded()
    by_series: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_series[arrival.study_uid, arrival.series_uid].append(arrival)
    study_ids: dict[str, int] = {}
    # In one order everywhere, so that two classifiers never wait for each other.
    for study_uid, series_uid in sorted(by_series):
        first = by_series[study_uid, series_uid][0]
        if study_uid not in study_ids:
            study_ids[study_uid] = await _touch_study(connection, first)
        series_id = await _touch_series(connection, study_ids[study_uid], first)
        row = SeriesRow(series_id, study_ids[study_uid], study_uid, series_uid)
        recorded.series.append(row)
        recorded.senders[row.study_id] |= {
            spool.association_of(arrival.key) for arrival in by_series[study_uid, series_uid]
        }
        await _record_instances(connection, spool, row, by_series[study_uid, series_uid], recorded)
    return recorded


async def count_instances(connection: Connection, series_ids: Iterable[int]) -> dict[int, int]:
    """How many instances each series has."""
    rows = await connection.execute(
        select(_instance.c.series_id, func.count())
        .where(_instance.c.series_id.in_(list(series_ids)))
        .group_by(_instance.c.series_id)
    )
    return {row[0]: row[1] for row in rows}


async def _touch_study(connection: Connection, arrival: Arrival) -> int:
    moment = now()
    columns = {
        name: clip(_study, name, arrival.header.text(tag)) for name, tag in _STUDY_COLUMNS.items()
    }
    statement = insert_or(connection, _study).values(
        study_instance_uid=arrival.study_uid,
        routing_note="",
        first_received_at=moment,
        last_received_at=moment,
        **columns,
    )
    study_id: int = await connection.scalar(
        statement.on_conflict_do_update(
            index_elements=["study_instance_uid"], set_={"last_received_at": moment}
        ).returning(_study.c.id)
    )
    return study_id


async def _touch_series(connection: Connection, study_id: int, arrival: Arrival) -> int:
    columns = {
        name: clip(_series, name, arrival.header.text(tag)) for name, tag in _SERIES_COLUMNS.items()
    }
    statement = insert_or(connection, _series).values(
        study_id=study_id,
        series_instance_uid=arrival.series_uid,
        facts=arrival.facts,
        first_received_at=now(),
        **columns,
    )
    series_id: int = await connection.scalar(
        statement.on_conflict_do_update(
            index_elements=["study_id", "series_instance_uid"], set_={"study_id": study_id}
        ).returning(_series.c.id)
    )
    return series_id


async def _record_instances(
    connection: Connection,
    spool: Spool,
    series: SeriesRow,
    arrivals: list[Arrival],
    recorded: Recorded,
) -> None:
    rows = await connection.execute(
        select(
            _instance.c.sop_instance_uid, _instance.c.id, _instance.c.digest, _instance.c.revision
        ).where(
            _instance.c.series_id == series.id,
            _instance.c.sop_instance_uid.in_({arrival.sop_uid for arrival in arrivals}),
        )
    )
    known = {row[0]: _Version(row[1], row[2], row[3]) for row in rows}
    moves: dict[str, str] = {}
    new: dict[str, dict[str, Any]] = {}
    changed: dict[str, dict[str, Any]] = {}
    for arrival in arrivals:
        version = known.get(arrival.sop_uid, _Version(None, "", 0))
        if version.digest == arrival.digest:
            recorded.duplicates += 1
            continue
        known[arrival.sop_uid] = version = _Version(
            version.id, arrival.digest, version.revision + 1
        )
        key = spool.received_key(
            series.study_uid, series.series_uid, arrival.sop_uid, version.revision
        )
        moves[arrival.key] = key
        # Of several versions in one batch each keeps its file, and the last one counts.
        (new if version.id is None else changed)[arrival.sop_uid] = {
            "sop_class_uid": arrival.sop_class_uid,
            "transfer_syntax_uid": clip(
                _instance, "transfer_syntax_uid", arrival.transfer_syntax_uid
            ),
            "spool_key": key,
            "size": arrival.size,
            "digest": version.digest,
            "revision": version.revision,
            "association_id": spool.association_of(arrival.key),
            "received_at": now(),
        }
    if moves:
        await asyncio.to_thread(spool.adopt, moves)
    await _insert(connection, series.id, new, recorded)
    await _change(
        connection, {known[sop_uid].id: row for sop_uid, row in changed.items()}, recorded
    )


async def _insert(
    connection: Connection, series_id: int, new: dict[str, dict[str, Any]], recorded: Recorded
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
    recorded.new += ids.all()


async def _change(
    connection: Connection, changed: dict[int | None, dict[str, Any]], recorded: Recorded
) -> None:
    if not changed:
        return
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
    recorded.changed += [row_id for row_id in changed if row_id is not None]
