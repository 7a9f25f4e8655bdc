"""The bus contract: the same for RabbitMQ and for the bus within one process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aio_pika
import pytest

from shared.bus import API_DEAD, CLASSIFIER_TRANSFERS, Bus, Message, Outcome, open_bus
from shared.bus.amqp import EXCHANGE, queue_name
from shared.bus.topology import ANONYMIZER_ASSIGNED, Queue
from shared.errors import Reason, Reject, Retry
from shared.events import (
    DeadLettered,
    InstanceAnonymized,
    InstanceAssigned,
    InstanceForwarded,
    TransferRequested,
)
from shared.settings import Settings

DELAY = 0.3


@pytest.fixture(params=["memory", "amqp"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("amqp_url")
    settings = Settings(bus_url=url, retry_delays=(DELAY,), max_attempts=3)
    async with open_bus(settings, "tests") as opened:
        yield opened


@dataclass
class Recorder:
    """A consumer that notes what it got and does what it is told."""

    queue: Queue = CLASSIFIER_TRANSFERS
    react: Callable[[Sequence[Message], Outcome], None] = lambda batch, outcome: None
    batches: list[list[Message]] = field(default_factory=list)
    given_up: list[Message] = field(default_factory=list)

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        self.batches.append(list(batch))
        self.react(batch, outcome)

    async def give_up(self, message: Message, reason: Reason) -> None:
        self.given_up.append(message)

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    @property
    def ids(self) -> list[int]:
        return [
            m.event.transfer_id for m in self.messages if isinstance(m.event, TransferRequested)
        ]


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def requests(*ids: int) -> list[TransferRequested]:
    return [TransferRequested(transfer_id=i) for i in ids]


async def publish(bus: Bus, *events: object) -> None:
    await bus.publish(events, producer="tests", correlation_id="journey")  # type: ignore[arg-type]


async def test_what_is_published_is_consumed_in_batches(bus: Bus) -> None:
    await publish(bus, *requests(*range(1, 11)))
    recorder = Recorder()
    async with bus.consuming(recorder):
        await until(lambda: len(recorder.ids) == 10)
    assert sorted(recorder.ids) == list(range(1, 11))
    assert max(map(len, recorder.batches)) == CLASSIFIER_TRANSFERS.batch
    assert await bus.depth(CLASSIFIER_TRANSFERS) == 0


async def test_envelopes_carry_the_journey(bus: Bus) -> None:
    first, second = Recorder(), Recorder(queue=ANONYMIZER_ASSIGNED)

    def follow(batch: Sequence[Message], outcome: Outcome) -> None:
        for message in batch:
            event = InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=(1,))
            outcome.publish(event, because=message)

    first.react = follow
    async with bus.consuming(first), bus.consuming(second):
        await publish(bus, *requests(1))
        await until(lambda: bool(second.messages))
    cause, effect = first.messages[0].envelope, second.messages[0].envelope
    assert effect.correlation_id == cause.correlation_id == "journey"
    assert effect.causation_id == cause.message_id
    assert (cause.producer, effect.producer) == ("tests", "classifier")
    assert cause.traceparent and effect.traceparent
    assert effect.traceparent[:36] == cause.traceparent[:36] != effect.traceparent


async def test_what_is_to_be_retried_comes_back_after_the_delay(bus: Bus) -> None:
    recorder = Recorder()

    def busy_at_first(batch: Sequence[Message], outcome: Outcome) -> None:
        for message in batch:
            if message.envelope.attempt == 0:
                outcome.retry(message.event, because=message)

    recorder.react = busy_at_first
    async with bus.consuming(recorder):
        started = asyncio.get_running_loop().time()
        await publish(bus, *requests(7))
        await until(lambda: len(recorder.ids) == 2)
        assert asyncio.get_running_loop().time() - started >= DELAY
    first, second = (message.envelope for message in recorder.messages)
    assert second.attempt == 1 and second.causation_id == first.message_id
    assert second.correlation_id == first.correlation_id


async def test_an_absent_database_makes_the_whole_batch_wait(bus: Bus) -> None:
    recorder = Recorder()

    def away_at_first(batch: Sequence[Message], outcome: Outcome) -> None:
        if batch[0].envelope.attempt == 0:
            raise Retry(Reason.DATABASE_AWAY)

    recorder.react = away_at_first
    await publish(bus, *requests(1, 2))
    async with bus.consuming(recorder):
        await until(lambda: recorder.ids.count(1) == 2 and recorder.ids.count(2) == 2)
    assert not recorder.given_up


async def test_one_poison_message_never_stops_its_neighbours(bus: Bus) -> None:
    recorder, dead = Recorder(), Recorder(queue=API_DEAD)
    handled: list[int] = []

    def choke_on_three(batch: Sequence[Message], outcome: Outcome) -> None:
        ids = [m.event.transfer_id for m in batch if isinstance(m.event, TransferRequested)]
        if 3 in ids:
            raise ZeroDivisionError
        handled.extend(ids)

    recorder.react = choke_on_three
    await publish(bus, *requests(1, 2, 3, 4))
    async with bus.consuming(recorder), bus.consuming(dead):
        await until(lambda: bool(dead.messages))
    assert sorted(handled) == [1, 2, 4]
    assert [m.event.transfer_id for m in recorder.given_up] == [3]  # type: ignore[attr-defined]
    letter = dead.messages[0].event
    assert isinstance(letter, DeadLettered)
    assert letter.reason is Reason.GAVE_UP and letter.queue == "classifier.transfers"
    tries = [m for m in recorder.messages if m.event == TransferRequested(transfer_id=3)]
    assert max(m.envelope.attempt for m in tries) == 2  # max_attempts is 3


async def test_the_failing_instance_of_an_event_is_split_off(bus: Bus) -> None:
    recorder, dead = Recorder(queue=ANONYMIZER_ASSIGNED), Recorder(queue=API_DEAD)
    done: list[int] = []

    def refuse_five(batch: Sequence[Message], outcome: Outcome) -> None:
        ids = [i for m in batch for i in m.event.delivery_ids]  # type: ignore[attr-defined]
        if 5 in ids:
            raise Reject(Reason.UNREADABLE)
        done.extend(ids)

    recorder.react = refuse_five
    await publish(bus, InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=(4, 5, 6)))
    async with bus.consuming(recorder), bus.consuming(dead):
        await until(lambda: bool(dead.messages))
    assert sorted(done) == [4, 6]
    assert [m.event.delivery_ids for m in recorder.given_up] == [(5,)]  # type: ignore[attr-defined]
    assert '"delivery_ids":[5]' in dead.messages[0].event.body  # type: ignore[attr-defined]


async def test_progress_events_need_no_listener_but_work_does(bus: Bus) -> None:
    await publish(bus, InstanceForwarded(transfer_id=1, series_id=1, delivery_ids=(1,)))
    await publish(bus, InstanceAnonymized(transfer_id=1, series_id=1, delivery_ids=(1,)))
    assert await bus.depth(ANONYMIZER_ASSIGNED) == 0


async def test_purging_empties_every_queue_and_delay(bus: Bus) -> None:
    recorder = Recorder(react=lambda batch, outcome: outcome.retry(batch[0].event, batch[0]))
    await publish(bus, *requests(1))
    async with bus.consuming(recorder):
        await until(lambda: bool(recorder.ids))
    await publish(bus, *requests(2, 3))
    await bus.purge()
    assert await bus.depth(CLASSIFIER_TRANSFERS) == 0
    later = Recorder()
    async with bus.consuming(later):
        await asyncio.sleep(2 * DELAY)
    assert later.ids == []


async def test_leaving_the_block_finishes_the_batch_in_hand(bus: Bus) -> None:
    finished: list[int] = []

    class Slow(Recorder):
        async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
            await super().handle(batch, outcome)
            await asyncio.sleep(0.2)
            finished.append(len(batch))

    slow = Slow()
    await publish(bus, *requests(1))
    async with bus.consuming(slow):
        await until(lambda: bool(slow.ids))
    assert finished == [1]
    assert await bus.depth(CLASSIFIER_TRANSFERS) == 0


@asynccontextmanager
async def _raw(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection:
        yield await connection.channel()


async def _publish_raw(url: str, routing_key: str, body: bytes) -> None:
    async with _raw(url) as channel:
        exchange = await channel.get_exchange(EXCHANGE)
        await exchange.publish(aio_pika.Message(body), routing_key)


@pytest.mark.parametrize(
    "body",
    [
        b"not json \xff",
        b'{"type": "transfer.requested"}',
        b'{"type":"no.such","schema_version":1,"correlation_id":"x","producer":"x","body":{}}',
        b'{"type":"transfer.requested","schema_version":99,"correlation_id":"x","producer":"x",'
        b'"body":{"transfer_id":1}}',
        b'{"type":"transfer.requested","schema_version":1,"correlation_id":"x","producer":"x",'
        b'"body":{"transfer_id":"../../etc"}}',
    ],
)
async def test_what_is_no_known_event_goes_to_the_dead_letters_at_once(
    amqp_url: str, body: bytes
) -> None:
    settings = Settings(bus_url=amqp_url, retry_delays=(DELAY,))
    recorder, dead = Recorder(), Recorder(queue=API_DEAD)
    async with open_bus(settings, "tests") as bus, bus.consuming(recorder), bus.consuming(dead):
        await bus.depth(API_DEAD)  # the topology stands
        await _publish_raw(amqp_url, "transfer.requested", body)
        await until(lambda: bool(dead.messages))
    assert recorder.messages == []
    assert dead.messages[0].event.reason is Reason.UNKNOWN_EVENT  # type: ignore[attr-defined]


async def test_consumers_come_back_after_their_queue_was_deleted(amqp_url: str) -> None:
    settings = Settings(bus_url=amqp_url, retry_delays=(DELAY,))
    recorder = Recorder()
    async with open_bus(settings, "tests") as bus, bus.consuming(recorder):
        await publish(bus, *requests(1))
        await until(lambda: recorder.ids == [1])
        async with _raw(amqp_url) as channel:
            await channel.queue_delete(queue_name(CLASSIFIER_TRANSFERS))
        await until_published(bus, 2)
        await until(lambda: 2 in recorder.ids)


async def until_published(bus: Bus, transfer_id: int) -> None:
    """Publish, again and again while the queue is missing."""
    async with asyncio.timeout(15):
        while True:
            with suppress(Retry):
                await publish(bus, *requests(transfer_id))
                return
            await asyncio.sleep(0.1)


async def test_without_a_broker_publishing_says_so(unused_port: int) -> None:
    settings = Settings(bus_url=f"amqp://u:pw@127.0.0.1:{unused_port}/")
    async with open_bus(settings, "tests") as bus:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("shared.bus.amqp.PUBLISH_TIMEOUT", 0.5)
            with pytest.raises(Retry) as caught:
                await publish(bus, *requests(1))
    assert caught.value.reason is Reason.BUS_AWAY


@pytest.fixture
def unused_port() -> int:
    from tests.servers.common import free_port

    return free_port()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="amqp://"):
        open_bus(Settings(bus_url="kafka://x"), "tests")
