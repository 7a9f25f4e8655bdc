"""Tells the classifier what came in: up to 64 files of a series per event, soon after arrival."""

import asyncio
import threading

from shared import telemetry
from shared.announcing import received_events
from shared.bus import Bus
from shared.errors import Retry
from shared.events import BATCH, AssociationClosed, Event
from shared.faults import Point, reach
from shared.priority import Priority
from shared.spool import Spool

log = telemetry.logger("receiver")


class Announcer:
    """Collects what the associations' threads report and publishes it in batches.

    An event that can't be published is dropped: the files stand in the inbox, and the reconciler
    finds them there (law 1).

    Parameters
    ----------
    syncing
        Make files durable before anybody hears of them (`Durability.BATCH`).
    """

    def __init__(
        self, bus: Bus, spool: Spool, flush_after: float, *, syncing: bool = False
    ) -> None:
        self._bus, self._spool, self._flush_after = bus, spool, flush_after
        self._syncing = syncing
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: dict[str, list[str]] = {}
        self._publishing: set[asyncio.Task[None]] = set()

    def stored(self, association_id: str, key: str) -> None:
        """Report a file; callable from any thread."""
        with self._lock:
            keys = self._pending.setdefault(association_id, [])
            keys.append(key)
            count = len(keys)
        # The loop is woken for a batch, not for every file: that costs more than the file.
        if count == 1:
            self._loop.call_soon_threadsafe(self._wait, association_id)
        elif count == BATCH:
            self._loop.call_soon_threadsafe(self._flush, association_id)

    def closed(self, association_id: str, priority: Priority = Priority.NORMAL) -> None:
        """Report the end of an association; callable from any thread."""
        end = AssociationClosed(association_id=association_id, priority=priority)
        self._loop.call_soon_threadsafe(self._flush, association_id, end)

    async def drain(self) -> None:
        """Publish what is left and wait for it."""
        for association_id in list(self._pending):
            self._flush(association_id)
        await asyncio.gather(*self._publishing)

    def _wait(self, association_id: str) -> None:
        self._loop.call_later(self._flush_after, self._flush, association_id)

    def _flush(self, association_id: str, *further: Event) -> None:
        with self._lock:
            keys = self._pending.pop(association_id, [])
        if keys or further:
            task = asyncio.create_task(self._publish(association_id, keys, further))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _publish(
        self, association_id: str, keys: list[str], further: tuple[Event, ...]
    ) -> None:
        try:
            if self._syncing:
                await asyncio.to_thread(self._spool.sync, keys)
            events = await asyncio.to_thread(received_events, self._spool, keys)
            await self._bus.publish(
                [*events, *further], producer="receiver", correlation_id=association_id
            )
            reach(Point.RECEIVER_ANNOUNCED)
        except Retry as error:
            log.warning(
                "arrivals not announced; the reconciler will find them",
                association=association_id,
                files=len(keys),
                reason=error.reason,
            )
