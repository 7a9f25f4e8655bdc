"""The bus within one process, for `sluse up` and for fast tests. Law 1 is what makes it safe."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Self

from shared import telemetry
from shared.bus.base import Consumer
from shared.bus.handling import handle_bodies, in_lanes, take_batch
from shared.bus.topology import QUEUES, Queue
from shared.bus.turns import Turns
from shared.errors import Reason, Retry
from shared.events import Envelope, Event
from shared.settings import Settings


class MemoryBus:
    """Queues of message bodies; one instance serves every service in the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queues: dict[str, asyncio.Queue[bytes]] = defaultdict(asyncio.Queue)
        self._delayed: set[asyncio.TimerHandle] = set()

    async def __aenter__(self) -> Self:
        telemetry.BUS_CONNECTED.set(1)
        return self

    async def __aexit__(self, *error: object) -> None:
        telemetry.BUS_CONNECTED.set(0)
        self._forget_delayed()

    async def publish(self, events: Iterable[Event], *, producer: str, correlation_id: str) -> None:
        for event in events:
            self._route(Envelope.around(event, producer=producer, correlation_id=correlation_id))

    def consuming(self, consumer: Consumer, *, lanes: int = 1) -> AbstractAsyncContextManager[None]:
        return in_lanes(self._lane, consumer, lanes)

    async def depth(self, queue: Queue) -> int:
        return self._queues[queue.name].qsize()

    async def purge(self) -> None:
        self._forget_delayed()
        for queue in self._queues.values():
            with suppress(asyncio.QueueEmpty):
                while True:
                    queue.get_nowait()

    async def _lane(self, consumer: Consumer, stopping: asyncio.Event, turns: Turns) -> None:
        queue = self._queues[consumer.queue.name]
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            with turns.lane(consumer.queue.priority, stopping) as lane:
                while True:
                    waiting = asyncio.ensure_future(queue.get())
                    await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if not waiting.done():
                        waiting.cancel()
                        return
                    async with lane.turn() as mine:
                        if not mine:
                            queue.put_nowait(waiting.result())
                            return
                        await self._handle(consumer, queue.get, waiting.result())
        finally:
            stopped.cancel()

    async def _handle(
        self, consumer: Consumer, get: Callable[[], Awaitable[bytes]], first: bytes
    ) -> None:
        batch = await take_batch(get, consumer.queue.batch, consumer.queue.linger, first)
        outcome = await handle_bodies(consumer, batch, self._settings.max_attempts)
        for envelope in outcome.published:
            self._route(envelope)
        for envelope in outcome.retried:
            self._delay(consumer.queue, envelope)

    def _route(self, envelope: Envelope) -> None:
        body = envelope.model_dump_json().encode()
        event = envelope.event()
        takers = [queue for queue in QUEUES if event.routing_key in queue.routing_keys]
        if not takers and event.must_arrive:
            raise Retry(Reason.BUS_AWAY, f"no queue takes {envelope.type}")
        for queue in takers:
            self._queues[queue.name].put_nowait(body)

    def _delay(self, queue: Queue, envelope: Envelope) -> None:
        delays = self._settings.retry_delays

        def arrive() -> None:
            self._delayed.discard(handle)
            self._queues[queue.name].put_nowait(envelope.model_dump_json().encode())

        handle = asyncio.get_running_loop().call_later(
            delays[min(envelope.attempt, len(delays)) - 1], arrive
        )
        self._delayed.add(handle)

    def _forget_delayed(self) -> None:
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()
