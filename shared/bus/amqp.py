"""The bus over RabbitMQ (3.10 to 4.x), through aio-pika.

Connection, topology, publisher and consumers are rebuilt here rather than by aio-pika's robust
connection, which can come back without its consumers: one task keeps the link, each lane opens its
own channel on it, declares the topology again and consumes until anything about it breaks.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError
from pamqp.common import FieldTable
from yarl import URL

from shared import telemetry
from shared.bus.base import Consumer, Outcome
from shared.bus.handling import handle_bodies, in_lanes, take_batch
from shared.bus.topology import API_DEAD, QUEUES, Queue
from shared.bus.turns import Turns
from shared.errors import Reason, Retry
from shared.events import DeadLettered, Envelope, Event
from shared.faults import Point, reach
from shared.settings import Settings

log = telemetry.logger("bus")

EXCHANGE = "sluse"
PIPELINE = 100
"""Publishes awaiting their confirms at the same time."""
CONNECT_TIMEOUT = 10.0
PUBLISH_TIMEOUT = 30.0
"""Covers a broker that blocks publishers (memory or disk alarm)."""
ACK_TIMEOUT = 10.0
DELIVERY_LIMIT = 50
"""Deliveries after which the broker itself buries a message that kills whoever takes it."""
# At-least-once: a message is removed only when the queue it dies into has it (quorum queues).
_QUORUM: FieldTable = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
}
_TROUBLE = (*CONNECTION_EXCEPTIONS, TimeoutError)


class LinkLostError(ConnectionError):
    """The channel or the consumer is gone; the lane starts anew."""


def queue_name(queue: Queue) -> str:
    """The queue's name on the broker."""
    return f"{EXCHANGE}.{queue.name}"


def delay_name(seconds: float) -> str:
    """The name of the exchange and of the queue that hold messages for `seconds`."""
    return f"{EXCHANGE}.delay.{round(seconds * 1000)}ms"


async def declare_topology(channel: AbstractChannel, delays: Iterable[float]) -> None:
    """Declare the exchange, the queues and the delays; what exists stays as it is.

    A message for a delay goes through the delay's fanout exchange with the name of its *own* queue
    as routing key, and the broker carries it there when its time is up.
    """
    exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    for queue in QUEUES:
        end: FieldTable = {
            "x-dead-letter-exchange": EXCHANGE,
            "x-dead-letter-routing-key": DeadLettered.type,
            "x-delivery-limit": DELIVERY_LIMIT,
        }
        # What can't even be kept as a dead letter stays where it is.
        arguments: FieldTable = {"x-queue-type": "quorum"} if queue is API_DEAD else _QUORUM | end
        declared = await channel.declare_queue(queue_name(queue), durable=True, arguments=arguments)
        for key in sorted(queue.routing_keys):
            await declared.bind(exchange, key)
    for seconds in delays:
        delay = await channel.declare_exchange(
            delay_name(seconds), aio_pika.ExchangeType.FANOUT, durable=True
        )
        arguments = _QUORUM | {
            "x-message-ttl": round(seconds * 1000),
            "x-dead-letter-exchange": "",
        }
        waiting = await channel.declare_queue(
            delay_name(seconds), durable=True, arguments=arguments
        )
        await waiting.bind(delay)


class _Link:
    """One connection and the channel that publishes on it."""

    def __init__(
        self, connection: aio_pika.abc.AbstractConnection, publisher: AbstractChannel
    ) -> None:
        self.connection, self.publisher = connection, publisher
        self.lost = asyncio.Event()
        connection.close_callbacks.add(self._on_close)
        publisher.close_callbacks.add(self._on_close)

    def _on_close(self, *_: object) -> None:
        self.lost.set()

    async def exchange(self, name: str) -> AbstractExchange:
        return await self.publisher.get_exchange(name, ensure=False)


class AmqpBus:
    """A connection to RabbitMQ that comes back by itself."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings, self._name = settings, name
        self._url = URL(settings.bus_url.get_secret_value()).update_query(
            heartbeat=settings.bus_heartbeat
        )
        self._link: _Link | None = None
        self._linked = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._supervisor:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor

    async def publish(self, events: Iterable[Event], *, producer: str, correlation_id: str) -> None:
        envelopes = [
            Envelope.around(event, producer=producer, correlation_id=correlation_id)
            for event in events
        ]
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await self._linked.wait()
                await self._send(envelopes, [])
        except _TROUBLE as error:
            raise Retry(Reason.BUS_AWAY, type(error).__name__) from error

    def consuming(self, consumer: Consumer, *, lanes: int = 1) -> AbstractAsyncContextManager[None]:
        return in_lanes(self._lane, consumer, lanes)

    async def depth(self, queue: Queue) -> int:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT), self._channel() as channel:
                declared = await channel.declare_queue(queue_name(queue), passive=True)
                return declared.declaration_result.message_count or 0
        except _TROUBLE as error:
            raise Retry(Reason.BUS_AWAY, type(error).__name__) from error

    async def purge(self) -> None:
        names = [
            *map(queue_name, QUEUES),
            *map(delay_name, self._settings.retry_delays),
        ]
        async with self._channel() as channel:
            for name in names:
                await (await channel.get_queue(name, ensure=False)).purge()

    # The link

    async def _supervise(self) -> None:
        while True:
            try:
                await self._keep_link()
            except _TROUBLE as error:
                log.warning("broker away", exc_info=error)
            # Spread, so that a restarted broker is not met by all services at once.
            await asyncio.sleep(random.uniform(0.2, 2.0))  # noqa: S311

    async def _keep_link(self) -> None:
        connection = await aio_pika.connect(
            self._url,
            timeout=CONNECT_TIMEOUT,
            client_properties={"connection_name": f"sluse {self._name}"},
        )
        async with connection:
            publisher = await connection.channel(on_return_raises=True)
            await declare_topology(publisher, self._settings.retry_delays)
            link = self._link = _Link(connection, publisher)
            self._linked.set()
            telemetry.BUS_CONNECTED.set(1)
            log.info("broker connected")
            try:
                await link.lost.wait()
            finally:
                self._linked.clear()
                telemetry.BUS_CONNECTED.set(0)
        raise LinkLostError

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        await self._linked.wait()
        assert self._link is not None
        channel = await self._link.connection.channel()
        try:
            yield channel
        finally:
            with suppress(*_TROUBLE):
                await channel.close()

    # Publishing

    async def _send(
        self, published: list[Envelope], retried: list[Envelope], queue: str = ""
    ) -> None:
        """Publish, each confirmed by the broker; `retried` return to `queue` after their delay."""
        if not self._link or self._link.lost.is_set():
            raise LinkLostError
        exchange = await self._link.exchange(EXCHANGE)
        work = [
            (exchange, envelope, event.routing_key, event.must_arrive)
            for envelope, event in ((one, one.event()) for one in published)
        ]
        delays = self._settings.retry_delays
        for envelope in retried:
            delay = delay_name(delays[min(envelope.attempt, len(delays)) - 1])
            work.append((await self._link.exchange(delay), envelope, queue, True))
        for start in range(0, len(work), PIPELINE):
            await asyncio.gather(*(_send_one(*one) for one in work[start : start + PIPELINE]))

    async def _send_outcome(self, consumer: Consumer, outcome: Outcome) -> None:
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            await self._send(outcome.published, outcome.retried, queue_name(consumer.queue))

    # Consuming

    async def _lane(self, consumer: Consumer, stopping: asyncio.Event, turns: Turns) -> None:
        while not stopping.is_set():
            if not await _before(stopping, self._linked.wait):
                return
            try:
                async with self._channel() as channel:
                    await self._consume(channel, consumer, stopping, turns)
            except _TROUBLE as error:
                log.warning("consumer starts anew", queue=consumer.queue.name, exc_info=error)
                await asyncio.sleep(0.2)

    async def _consume(
        self,
        channel: AbstractChannel,
        consumer: Consumer,
        stopping: asyncio.Event,
        turns: Turns,
    ) -> None:
        """Take batches until `stopping` is set.

        Raises
        ------
        LinkLostError
            Channel or consumer were cancelled under our feet.
        """
        queue = consumer.queue
        arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()

        def broken(*_: object) -> None:
            arrived.put_nowait(None)

        await declare_topology(channel, self._settings.retry_delays)
        # Twice a batch: the next one is here while this one is handled.
        await channel.set_qos(prefetch_count=2 * queue.batch)
        channel.close_callbacks.add(broken)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(broken)
        declared = await channel.get_queue(queue_name(queue), ensure=False)
        await declared.consume(arrived.put)
        with turns.lane(queue.priority, stopping) as lane:
            while first := await _before(stopping, arrived.get):
                async with lane.turn() as mine:
                    if mine:
                        await self._handle(consumer, arrived.get, first)
        if not stopping.is_set():
            raise LinkLostError

    async def _handle(
        self,
        consumer: Consumer,
        get: Callable[[], Awaitable[AbstractIncomingMessage | None]],
        first: AbstractIncomingMessage | None,
    ) -> None:
        """Handle `first` and what comes with it.

        Raises
        ------
        LinkLostError
            The link broke meanwhile; what was handled is acknowledged.
        """
        taken = await take_batch(get, consumer.queue.batch, consumer.queue.linger, first)
        batch = [message for message in taken if message is not None]
        outcome = await handle_bodies(
            consumer, [one.body for one in batch], self._settings.max_attempts
        )
        reach(Point.BUS_HANDLED)
        await self._send_outcome(consumer, outcome)
        reach(Point.BUS_PUBLISHED)
        async with asyncio.timeout(ACK_TIMEOUT):
            # Everything up to here on this channel is in this batch or acknowledged already.
            await batch[-1].ack(multiple=True)
        if len(batch) < len(taken):
            raise LinkLostError


async def _send_one(
    exchange: AbstractExchange, envelope: Envelope, routing_key: str, mandatory: bool
) -> None:
    message = aio_pika.Message(
        envelope.model_dump_json().encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=str(envelope.message_id),
        correlation_id=envelope.correlation_id,
        type=envelope.type,
        app_id=envelope.producer,
    )
    try:
        await exchange.publish(message, routing_key, mandatory=mandatory)
    except PublishError as error:
        # The queue is missing: starting the link anew declares it.
        raise LinkLostError(f"no queue takes {routing_key}") from error


async def _before(stopping: asyncio.Event, wait: Callable[[], Awaitable[Any]]) -> Any:
    """What `wait` gives, or None when `stopping` is set first."""
    waiting = asyncio.ensure_future(wait())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        stopped.cancel()
