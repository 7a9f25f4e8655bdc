"""Keeps each transfer's counters: how many of its deliveries are where (law 2).

Counting millions of rows for every look at a list would take too long, so the figures move with the
deliveries, in the same transaction. `shared.ledger.deliveries` is the only caller.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import update

from shared.ledger.database import Connection
from shared.ledger.states import DeliveryState
from shared.ledger.tables import Transfer, core

_transfer = core(Transfer)

COUNTED = {
    DeliveryState.ASSIGNED: "in_flight",
    DeliveryState.ANONYMIZED: "in_flight",
    DeliveryState.FORWARDED: "delivered",
    DeliveryState.HELD: "held",
    DeliveryState.FAILED: "failed",
    DeliveryState.WITHDRAWN: "withdrawn",
}
"""The counter that a delivery is in, by its state. Withdrawn ones are no part of the account."""


class Moving(Protocol):
    """A delivery that moves."""

    @property
    def transfer_id(self) -> int:
        """Its transfer."""

    @property
    def state(self) -> str:
        """Where it was."""


async def count(connection: Connection, moved: Iterable[Moving], to: DeliveryState) -> None:
    """Count deliveries that have moved to state `to`."""
    changes: dict[int, Counter[str]] = {}
    for one in moved:
        change = changes.setdefault(one.transfer_id, Counter())
        change[COUNTED[DeliveryState(one.state)]] -= 1
        change[COUNTED[to]] += 1
    await _add(connection, changes)


async def count_new(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Count deliveries that are new; one transfer id for each."""
    await _add(
        connection,
        {
            transfer_id: Counter({COUNTED[DeliveryState.ASSIGNED]: number})
            for transfer_id, number in Counter(transfer_ids).items()
        },
    )


async def _add(connection: Connection, changes: dict[int, Counter[str]]) -> None:
    # In one order everywhere, so that two workers never wait for each other.
    for transfer_id, change in sorted(changes.items()):
        values = {name: _transfer.c[name] + by for name, by in change.items() if by}
        if values:
            await connection.execute(
                update(_transfer).where(_transfer.c.id == transfer_id).values(values)
            )
