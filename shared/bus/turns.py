"""Whose batch is next: normal work goes first, and bulk work never starves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from shared.priority import WEIGHT, Priority

PATIENCE = 10.0
"""Seconds that bulk work waits at most: normal work that hangs, hangs alone."""


_GRACE = 0.05
"""Seconds until a lane counts as idle: the broker sends the next message when one is acknowledged,
and that takes a moment."""


class Turns:
    """Shared by the lanes of one consumer.

    A bulk batch that has begun goes on beside normal ones; the next one begins when no normal work
    is left, after `weight` normal batches, or when it has waited for `patience` seconds.
    """

    def __init__(self, weight: int = WEIGHT, patience: float = PATIENCE) -> None:
        self._weight, self._patience = weight, patience
        self._busy: set[Lane] = set()
        self._done = 0
        """Normal batches since the last bulk one began."""
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def lane(self, priority: Priority, stopping: asyncio.Event) -> Iterator["Lane"]:
        """A lane that takes part while the block runs."""
        lane = Lane(self, priority, stopping)
        try:
            yield lane
        finally:
            self.leave(lane)

    def enter(self, lane: "Lane") -> None:
        """A lane has normal work."""
        self._busy.add(lane)
        self._look()

    def leave(self, lane: "Lane") -> None:
        """A lane has none any more."""
        self._busy.discard(lane)
        self._look()

    def count(self) -> None:
        """A normal batch is done."""
        self._done += 1
        self._look()

    async def wait(self, stopping: asyncio.Event) -> bool:
        """Wait for the turn of a bulk batch; whether it comes before `stopping` is set."""
        waits = [asyncio.ensure_future(one.wait()) for one in (self._free, stopping)]
        try:
            await asyncio.wait(waits, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        self._done = 0
        self._look()
        return not stopping.is_set()

    def _look(self) -> None:
        if self._busy and self._done < self._weight:
            self._free.clear()
        else:
            self._free.set()


class Lane:
    """Handles one batch after the other."""

    def __init__(self, turns: Turns, priority: Priority, stopping: asyncio.Event) -> None:
        self._turns, self._priority, self._stopping = turns, priority, stopping
        self._leaving: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Handle a batch in the block; whether there is to be one, or work stops first."""
        if self._priority is Priority.BULK:
            yield await self._turns.wait(self._stopping)
            return
        if self._leaving:
            self._leaving.cancel()
        self._turns.enter(self)
        try:
            yield True
        finally:
            self._turns.count()
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(_GRACE, self._turns.leave, self)
