"""Moves deliveries from state to state: the only code that writes their states.

A move names the revision it is about, and happens only from a state that may lead there. So a late
or repeated message changes nothing, and the result of work on an old revision is ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, or_, select, update

from shared import telemetry
from shared.clock import now
from shared.errors import Reason
from shared.ledger.counting import count
from shared.ledger.database import Connection
from shared.ledger.states import IN_FLIGHT, DeliveryState, sources_of
from shared.ledger.tables import Delivery, Project, SentTo, Transfer, core
from shared.ledger.transfers import lock_transfers
from shared.ledger.writing import clip, insert_or
from shared.settings import Settings

AT_ONCE = 10_000
"""Rows named in one statement."""

_delivery, _transfer, _sent_to = core(Delivery), core(Transfer), core(SentTo)


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
        One mapping per delivery: `id`, `revision`, `since` (its `changed_at` when the work was
        begun; None for whatever became of it), and the same further columns in each. What was
        started again meanwhile is not moved by the result of the earlier work.
    due_at
        When the reconciler may nudge, should the move leave them in flight.
    step
        The service, for the metrics.
    """
    in_order = sorted(rows, key=lambda row: row["id"])
    moved: set[int] = set()
    for start in range(0, len(rows), AT_ONCE):
        some = in_order[start : start + AT_ONCE]
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
    found = await lock_where(connection, _delivery.c.id.in_([row["id"] for row in rows]))
    legal = {one.id: one for one in found if DeliveryState(one.state) in sources_of(to)}
    wanted = [row for row in rows if row["id"] in legal and _is_same(legal[row["id"]], row)]
    if not wanted:
        return set()
    extra = set(rows[0]) - {"id", "revision", "since"}
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


def _is_same(locked: "Locked", row: Mapping[str, Any]) -> bool:
    since = row.get("since")
    return locked.revision == row["revision"] and since in (None, locked.changed_at)


class Locked(NamedTuple):
    """A delivery that nobody else moves until this transaction ends."""

    id: int
    transfer_id: int
    series_id: int
    state: str
    revision: int
    changed_at: datetime


async def lock_where(connection: Connection, which: ColumnElement[bool]) -> list[Locked]:
    """Lock deliveries, in one order everywhere, so that two workers never wait for each other."""
    rows = await connection.execute(
        select(*(_delivery.c[name] for name in Locked._fields))
        .where(which)
        .order_by(_delivery.c.id)
        .with_for_update(key_share=True)
    )
    return [Locked(*row) for row in rows]


class Waiting(NamedTuple):
    """A delivery whose step is tried again, and why."""

    delivery_id: int
    attempt: int
    """How often it has been tried before."""
    reason: Reason | None
    detail: str
    opens_in: float | None = None
    """Seconds until its destination takes images, where that is what it waits for."""


async def postpone(connection: Connection, waiting: Iterable[Waiting], settings: Settings) -> None:
    """Note why deliveries wait; the reconciler leaves them alone until the bus has tried again."""
    delays = settings.retry_delays
    by_delay: dict[float, list[Waiting]] = {}
    for one in waiting:
        delay = delays[min(one.attempt, len(delays) - 1)] + settings.patience
        # The bus tries every now and then, too; but at that moment there is something to do.
        by_delay.setdefault(min(delay, one.opens_in or delay), []).append(one)
    for delay, some in by_delay.items():
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id == bindparam("b_id"), _in_state(IN_FLIGHT))
            .values(
                attempts=_delivery.c.attempts + 1,
                reason=bindparam("v_reason"),
                detail=bindparam("v_detail"),
                due_at=now() + timedelta(seconds=delay),
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


async def lock_batch(connection: Connection, delivery_ids: Iterable[int]) -> None:
    """Lock what several moves are about to change: the deliveries, then their transfers."""
    found = await lock_where(connection, _delivery.c.id.in_(list(delivery_ids)))
    await lock_transfers(connection, {one.transfer_id for one in found})


async def may_be_sent(connection: Connection, wanted: Mapping[int, tuple[int, int]]) -> set[int]:
    """Those of the deliveries that may go out now; where they go is noted, before they do.

    A recall that comes later knows of them by that, even if nobody lives to note how it went.

    Parameters
    ----------
    wanted
        By delivery id: its revision, and the id of the destination.
    """
    found = [
        one
        for one in await lock_where(connection, _delivery.c.id.in_(list(wanted)))
        if one.state == DeliveryState.ANONYMIZED and one.revision == wanted[one.id][0]
    ]
    places = sorted({(one.transfer_id, wanted[one.id][1]) for one in found})
    if places:
        await connection.execute(
            insert_or(connection, _sent_to).on_conflict_do_nothing(),
            [
                {"transfer_id": transfer, "destination_id": destination, "first_at": now()}
                for transfer, destination in places
            ],
        )
    return {one.id for one in found}


async def lock(connection: Connection, transfer_id: int) -> None:
    """Lock a transfer's deliveries: before the transfer, as those do who move them."""
    await lock_where(connection, _delivery.c.transfer_id == transfer_id)


async def withdraw(connection: Connection, transfer_id: int, *, forwarded: bool) -> bool:
    """Take a transfer's deliveries back that can still be; whether some may be on their way out.

    Parameters
    ----------
    forwarded
        Also those that the destination has.
    """
    found = await lock_where(connection, _delivery.c.transfer_id == transfer_id)
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
    return any(one.state == DeliveryState.ANONYMIZED for one in found)
