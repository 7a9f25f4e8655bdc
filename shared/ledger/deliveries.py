"""Moves deliveries from state to state: the only code that writes their states.

A move names the revision it is about, and happens only from a state that may lead there. So a late
or repeated message changes nothing, and the result of work on an old revision is ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, exists, literal, or_, select, update

from shared import telemetry
from shared.clock import now
from shared.errors import Reason
from shared.events import BATCH
from shared.ledger.counting import count, count_new
from shared.ledger.database import Connection
from shared.ledger.states import ENDED, IN_FLIGHT, DeliveryState, sources_of
from shared.ledger.tables import Delivery, Instance, Project, Series, Transfer, core
from shared.ledger.transfers import run
from shared.ledger.writing import clip, insert_or
from shared.settings import Settings

_AT_ONCE = 10_000  # rows named in one statement
_delivery, _transfer = core(Delivery), core(Transfer)
_instance, _series = core(Instance), core(Series)


def _in_state(states: Iterable[DeliveryState]) -> ColumnElement[bool]:
    # Not IN: that can't be expanded for many rows at once.
    return or_(*(_delivery.c.state == state for state in sorted(states)))


async def move(
    connection: Connection,
    to: DeliveryState,
    rows: Sequence[Mapping[str, Any]],
    *,
    due_at: datetime,
    step: str,
) -> set[int]:
    """Move deliveries to state `to`; the ids of those that may and did.

    Parameters
    ----------
    rows
        One mapping per delivery: `id`, `revision`, and the same further columns in each.
    due_at
        When the reconciler may nudge, should the move leave them in flight.
    step
        The service, for the metrics.
    """
    in_order = sorted(rows, key=lambda row: row["id"])
    moved: set[int] = set()
    for start in range(0, len(rows), _AT_ONCE):
        some = in_order[start : start + _AT_ONCE]
        moved |= await _move(connection, to, some, due_at=due_at, step=step)
    return moved


async def _move(
    connection: Connection,
    to: DeliveryState,
    rows: Sequence[Mapping[str, Any]],
    *,
    due_at: datetime,
    step: str,
) -> set[int]:
    found = await _locked(connection, _delivery.c.id.in_([row["id"] for row in rows]))
    legal = {one.id: one for one in found if DeliveryState(one.state) in sources_of(to)}
    wanted = [
        row for row in rows if row["id"] in legal and legal[row["id"]].revision == row["revision"]
    ]
    if not wanted:
        return set()
    extra = set(rows[0]) - {"id", "revision"}
    statement = (
        update(_delivery)
        .where(_delivery.c.id == bindparam("b_id"))
        .values(
            {name: bindparam(f"v_{name}") for name in extra}
            | {"state": to, "changed_at": now(), "due_at": due_at, "nudges": 0}
        )
    )
    await connection.execute(
        statement,
        [{"b_id": row["id"]} | {f"v_{name}": row[name] for name in extra} for row in wanted],
    )
    await count(connection, [legal[row["id"]] for row in wanted], to)
    telemetry.INSTANCES.labels(step, to.value).inc(len(wanted))
    return {row["id"] for row in wanted}


class _Locked(NamedTuple):
    """A delivery that nobody else moves until this transaction ends."""

    id: int
    transfer_id: int
    series_id: int
    state: str
    revision: int


async def _locked(connection: Connection, which: ColumnElement[bool]) -> list[_Locked]:
    rows = await connection.execute(
        select(*(_delivery.c[name] for name in _Locked._fields))
        .where(which)
        .order_by(_delivery.c.id)
        .with_for_update()
    )
    return [_Locked(*row) for row in rows]


class Waiting(NamedTuple):
    """A delivery whose step is tried again, and why."""

    delivery_id: int
    attempt: int
    """How often it has been tried before."""
    reason: Reason | None
    detail: str


async def postpone(connection: Connection, waiting: Iterable[Waiting], settings: Settings) -> None:
    """Note why deliveries wait; the reconciler leaves them alone until the bus has tried again."""
    delays = settings.retry_delays
    by_delay: dict[float, list[Waiting]] = {}
    for one in waiting:
        by_delay.setdefault(delays[min(one.attempt, len(delays) - 1)], []).append(one)
    for delay, some in by_delay.items():
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id == bindparam("b_id"), _in_state(IN_FLIGHT))
            .values(
                attempts=_delivery.c.attempts + 1,
                reason=bindparam("v_reason"),
                detail=bindparam("v_detail"),
                due_at=now() + timedelta(seconds=delay + settings.patience),
            ),
            [
                {
                    "b_id": one.delivery_id,
                    "v_reason": one.reason,
                    "v_detail": clip(_delivery, "detail", one.detail),
                }
                for one in some
            ],
        )


Place = tuple[int, int, int]
"""(transfer id, series id, delivery id)."""
Assigned = list[tuple[int, int, list[int]]]
"""Deliveries as events name them: (transfer id, series id, at most 64 delivery ids)."""


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
    return in_batches((row[0], row[1], row[2]) for row in rows)


def in_batches(places: Iterable[Place]) -> Assigned:
    """Deliveries as events name them: by transfer and series, 64 at most."""
    groups: dict[tuple[int, int], list[int]] = {}
    for transfer_id, series_id, delivery_id in places:
        groups.setdefault((transfer_id, series_id), []).append(delivery_id)
    return [
        (*group, ids[start : start + BATCH])
        for group, ids in groups.items()
        for start in range(0, len(ids), BATCH)
    ]


async def renew(
    connection: Connection, instance_ids: Iterable[int], *, patience: float
) -> Assigned:
    """Start the deliveries of changed instances again, with the current revision."""
    wanted = list(instance_ids)
    if not wanted:
        return []
    return await _restart(connection, _delivery.c.instance_id.in_(wanted), patience)


async def retry_failed(connection: Connection, transfer_id: int, *, patience: float) -> Assigned:
    """Start a transfer's failed deliveries again."""
    failed = _delivery.c.state == DeliveryState.FAILED
    return await _restart(connection, (_delivery.c.transfer_id == transfer_id) & failed, patience)


async def restart(connection: Connection, transfer_id: int, *, patience: float) -> Assigned:
    """Start all of a transfer's deliveries again, whatever became of them."""
    return await _restart(connection, _delivery.c.transfer_id == transfer_id, patience)


async def hurry(
    connection: Connection, *, transfer_id: int | None = None, destination_id: int | None = None
) -> None:
    """Make deliveries that wait for their next try due now, of a transfer or for a destination."""
    waiting = _in_state(IN_FLIGHT) & _delivery.c.reason.is_not(None)
    if transfer_id is not None:
        waiting &= _delivery.c.transfer_id == transfer_id
    if destination_id is not None:
        project = core(Project)
        waiting &= _delivery.c.transfer_id.in_(
            select(_transfer.c.id)
            .join_from(_transfer, project)
            .where(project.c.destination_id == destination_id)
        )
    await connection.execute(update(_delivery).where(waiting).values(due_at=now(), nudges=0))


async def lock(connection: Connection, transfer_id: int) -> None:
    """Lock a transfer's deliveries: before the transfer, as those do who move them."""
    await _locked(connection, _delivery.c.transfer_id == transfer_id)


async def withdraw(connection: Connection, transfer_id: int, *, forwarded: bool) -> int:
    """Take a transfer's deliveries back that can still be; how many were delivered.

    Parameters
    ----------
    forwarded
        Also those that the destination has.
    """
    found = await _locked(connection, _delivery.c.transfer_id == transfer_id)
    leaving = [
        one
        for one in found
        if one.state in sources_of(DeliveryState.WITHDRAWN)
        and (forwarded or one.state != DeliveryState.FORWARDED)
    ]
    state = DeliveryState.WITHDRAWN
    keep = [] if forwarded else [DeliveryState.FORWARDED]
    await connection.execute(
        update(_delivery)
        .where(_delivery.c.transfer_id == transfer_id, _delivery.c.state.not_in([*keep, state]))
        .values(state=state, changed_at=now(), reason=None, detail="")
    )
    await count(connection, leaving, state)
    return sum(one.state == DeliveryState.FORWARDED for one in found)


async def _restart(connection: Connection, which: ColumnElement[bool], patience: float) -> Assigned:
    # What a person has ended, no late image and no retry starts again.
    in_force = select(_transfer.c.id).where(_transfer.c.state.not_in(ENDED))
    which &= _delivery.c.transfer_id.in_(in_force)
    found = [
        one for one in await _locked(connection, which) if one.state != DeliveryState.WITHDRAWN
    ]
    revision = select(_instance.c.revision).where(_instance.c.id == _delivery.c.instance_id)
    for start in range(0, len(found), _AT_ONCE):
        # Those that were found: others may be in such a state by now, and would not be counted.
        ids = [one.id for one in found[start : start + _AT_ONCE]]
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
    return in_batches((one.transfer_id, one.series_id, one.id) for one in found)
