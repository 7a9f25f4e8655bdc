"""Starts deliveries: of new instances, and again of what changed, failed or is wanted anew."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, exists, literal, select, update

from shared import telemetry
from shared.clock import now
from shared.events import BATCH, DeliveryEvent
from shared.ledger.counting import count, count_new
from shared.ledger.database import Connection
from shared.ledger.deliveries import AT_ONCE, Locked, lock_where
from shared.ledger.states import ENDED, DeliveryState, Keeping
from shared.ledger.tables import Delivery, Instance, Series, Transfer, core
from shared.ledger.transfers import lock_transfers, priorities, run, set_priority
from shared.ledger.writing import insert_or
from shared.priority import Priority

_delivery, _transfer = core(Delivery), core(Transfer)
_instance, _series = core(Instance), core(Series)

Place = tuple[int, int, int]
"""(transfer id, series id, delivery id)."""
Kind = TypeVar("Kind", bound=DeliveryEvent)


class Batch(NamedTuple):
    """Deliveries as one event names them: at most 64 of one series."""

    transfer_id: int
    series_id: int
    delivery_ids: list[int]
    priority: Priority = Priority.NORMAL
    """Of the transfer."""

    def event(self, kind: type[Kind]) -> Kind:
        """The event that names them."""
        return kind(
            transfer_id=self.transfer_id,
            series_id=self.series_id,
            delivery_ids=tuple(self.delivery_ids),
            priority=self.priority,
        )


Assigned = list[Batch]


async def assign(
    connection: Connection,
    transfer_ids: Iterable[int],
    *,
    patience: float,
    instance_ids: Iterable[int] | None = None,
) -> Assigned:
    """Give the instances of the transfers' studies a delivery, where they have none.

    The caller holds the locks of those studies (see `lock_studies`), so that no instance arrives
    unseen meanwhile.

    Parameters
    ----------
    patience
        Seconds until the reconciler may nudge.
    instance_ids
        Only these instances; all of them by default.
    """
    wanted = list(transfer_ids)
    if not wanted:
        return []
    moment = now()
    source = (
        select(
            _transfer.c.id,
            _instance.c.id,
            _series.c.id,
            _instance.c.revision,
            literal(DeliveryState.ASSIGNED.value),
            literal(0),
            literal(""),
            literal(moment + timedelta(seconds=patience), _delivery.c.due_at.type),
            literal(0),
            literal(moment, _delivery.c.changed_at.type),
        )
        .join_from(_transfer, _series, _series.c.study_id == _transfer.c.study_id)
        .join(_instance, _instance.c.series_id == _series.c.id)
        .where(
            _transfer.c.id.in_(wanted),
            ~exists().where(
                _delivery.c.transfer_id == _transfer.c.id, _delivery.c.instance_id == _instance.c.id
            ),
        )
        .order_by(_series.c.id, _instance.c.id)
    )
    if instance_ids is not None:
        source = source.where(_instance.c.id.in_(list(instance_ids)))
    columns = ["transfer_id", "instance_id", "series_id", "revision", "state", "attempts",
               "detail", "due_at", "nudges", "changed_at"]  # fmt: skip
    result = await connection.execute(
        insert_or(connection, _delivery)
        .from_select(columns, source)
        .on_conflict_do_nothing(index_elements=["transfer_id", "instance_id"])
        .returning(_delivery.c.transfer_id, _delivery.c.series_id, _delivery.c.id)
    )
    rows = result.all()
    telemetry.INSTANCES.labels("classifier", DeliveryState.ASSIGNED.value).inc(len(rows))
    await count_new(connection, [row[0] for row in rows])
    await run(connection, {row[0] for row in rows})
    urgent = await priorities(connection, {row[0] for row in rows})
    return in_batches(((row[0], row[1], row[2]) for row in rows), urgent)


def in_batches(places: Iterable[Place], urgent: Mapping[int, Priority] | None = None) -> Assigned:
    """Deliveries as events name them: by transfer and series, 64 at most.

    Parameters
    ----------
    urgent
        The transfers' priorities; normal where nothing is said.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for transfer_id, series_id, delivery_id in places:
        groups.setdefault((transfer_id, series_id), []).append(delivery_id)
    return [
        Batch(*group, ids[start : start + BATCH], (urgent or {}).get(group[0], Priority.NORMAL))
        for group, ids in groups.items()
        for start in range(0, len(ids), BATCH)
    ]


async def renew(
    connection: Connection,
    instance_ids: Iterable[int],
    *,
    transfer_ids: Sequence[int],
    patience: float,
) -> Assigned:
    """Start the deliveries of changed instances again, with the current revision.

    Parameters
    ----------
    transfer_ids
        Those that the caller is about to add to: all of them are locked here.
    """
    which = _delivery.c.instance_id.in_(list(instance_ids))
    await lock_where(connection, which)
    await lock_transfers(connection, transfer_ids)
    return await _restart(connection, which, patience)


async def retry_failed(connection: Connection, transfer_id: int, *, patience: float) -> Assigned:
    """Start a transfer's failed deliveries again."""
    failed = _delivery.c.state == DeliveryState.FAILED
    return await _restart(connection, (_delivery.c.transfer_id == transfer_id) & failed, patience)


async def resend(
    connection: Connection, delivery_ids: Collection[int], *, patience: float
) -> Assigned:
    """Start deliveries again that the destination has lost."""
    which = _delivery.c.id.in_(list(delivery_ids))
    return await _restart(
        connection, which & (_delivery.c.state == DeliveryState.FORWARDED), patience
    )


async def restart(
    connection: Connection,
    transfer_id: int,
    *,
    patience: float,
    priority: Priority | None = None,
) -> Assigned:
    """Start all of a transfer's deliveries again, whatever became of them.

    Parameters
    ----------
    priority
        That the transfer has from now on; None for the one that it has.
    """
    if priority is not None:
        await lock_where(connection, _delivery.c.transfer_id == transfer_id)
        await set_priority(connection, [transfer_id], priority)
    return await _restart(connection, _delivery.c.transfer_id == transfer_id, patience)


async def _with_originals(connection: Connection, found: list[Locked]) -> list[Locked]:
    """Those whose originals are here. They stay: who removes originals locks deliveries, too."""
    gone: set[int] = set()
    for start in range(0, len(found), AT_ONCE):
        rows = await connection.scalars(
            select(_delivery.c.id)
            .join_from(_delivery, _instance)
            .where(
                _delivery.c.id.in_([one.id for one in found[start : start + AT_ONCE]]),
                _instance.c.keeping != Keeping.HERE,
            )
        )
        gone.update(rows)
    return [one for one in found if one.id not in gone]


async def _restart(connection: Connection, which: ColumnElement[bool], patience: float) -> Assigned:
    # What a person has ended, no late image and no retry starts again.
    in_force = select(_transfer.c.id).where(_transfer.c.state.not_in(ENDED))
    which &= _delivery.c.transfer_id.in_(in_force)
    found = [
        one for one in await lock_where(connection, which) if one.state != DeliveryState.WITHDRAWN
    ]
    found = await _with_originals(connection, found)
    revision = select(_instance.c.revision).where(_instance.c.id == _delivery.c.instance_id)
    for start in range(0, len(found), AT_ONCE):
        # Those that were found: others may be in such a state by now, and would not be counted.
        ids = [one.id for one in found[start : start + AT_ONCE]]
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id.in_(ids))
            .values(
                revision=revision.scalar_subquery(),
                state=DeliveryState.ASSIGNED,
                attempts=0,
                reason=None,
                detail="",
                changed_at=now(),
                due_at=now() + timedelta(seconds=patience),
                nudges=0,
            )
        )
    await count(connection, found, DeliveryState.ASSIGNED)
    await run(connection, {one.transfer_id for one in found})
    urgent = await priorities(connection, {one.transfer_id for one in found})
    return in_batches(((one.transfer_id, one.series_id, one.id) for one in found), urgent)
