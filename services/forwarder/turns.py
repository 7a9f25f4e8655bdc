"""Who sends next over an association: normal images first, and bulk ones all the time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from shared.priority import WEIGHT, Priority


class Turns:
    """Of one association. A share is sent in slices, and between two of them another may go."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._taken = False
        self._normal = 0
        """Normal shares that are being sent."""
        self._bulk = 0
        """Bulk shares that wait for their turn."""
        self._done = 0
        """Normal slices since the last bulk one."""

    @contextmanager
    def share(self, priority: Priority) -> Iterator[None]:
        """Send a share in the block, each of its slices in a turn."""
        normal = priority is Priority.NORMAL
        self._normal += normal
        try:
            yield
        finally:
            self._normal -= normal

    @asynccontextmanager
    async def turn(self, priority: Priority) -> AsyncIterator[None]:
        """Send a slice in the block."""
        bulk = priority is Priority.BULK
        self._bulk += bulk
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._taken and self._may(bulk))
                self._taken = True
                self._done = 0 if bulk else self._done + 1
        finally:
            self._bulk -= bulk
        try:
            yield
        finally:
            async with self._changed:
                self._taken = False
                self._changed.notify_all()

    def _may(self, bulk: bool) -> bool:
        enough = self._done >= WEIGHT
        if bulk:
            return enough or not self._normal
        return not (enough and self._bulk)
