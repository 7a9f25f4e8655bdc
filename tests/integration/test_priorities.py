"""Two queues for each step: a single study goes before a bulk load, and the bulk load goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aio_pika
import pytest

from shared.bus import ANONYMIZER_ASSIGNED, CLASSIFIER_TRANSFERS, Bus, Message, Outcome, open_bus
from shared.bus.amqp import EXCHANGE, queue_name
from shared.errors import Reason
from shared.events import Envelope, InstanceAssigned, TransferRequested
from shared.priority import WEIGHT, Priority
from shared.settings import Settings
from tests.integration.test_bus import until

NORMAL, BULK = Priority.NORMAL, Priority.BULK
DELAY = 0.2


@pytest.fixture(params=["memory", "amqp"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("amqp_url")
    async with open_bus(Settings(bus_url=url, retry_delays=(DELAY,)), "tests") as opened:
        yield opened


@dataclass
class Recorder:
    """Notes the priorities of the batches that it gets, in order."""

    queue = CLASSIFIER_TRANSFERS
    pause: float = 0.0
    batches: list[list[Message]] = field(default_factory=list)

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        self.batches.append(list(batch))
        await asyncio.sleep(self.pause)

    async def give_up(self, message: Message, reason: Reason) -> None:
        raise AssertionError(reason)

    @property
    def order(self) -> list[Priority]:
        return [batch[0].event.priority for batch in self.batches]  # type: ignore[attr-defined]

    @property
    def ids(self) -> list[int]:
        return [message.event.transfer_id for batch in self.batches for message in batch]  # type: ignore[attr-defined]


def requests(first: int, count: int, priority: Priority) -> list[TransferRequested]:
    return [
        TransferRequested(transfer_id=number, priority=priority)
        for number in range(first, first + count)
    ]


async def publish(bus: Bus, events: Sequence[TransferRequested]) -> None:
    await bus.publish(events, producer="tests", correlation_id="journey")


async def test_bulk_work_has_a_queue_of_its_own(bus: Bus) -> None:
    await publish(bus, [*requests(1, 2, NORMAL), *requests(10, 3, BULK)])
    assert CLASSIFIER_TRANSFERS.bulk is not None
    assert CLASSIFIER_TRANSFERS.bulk.name == "classifier.transfers.bulk"
    assert await bus.depth(CLASSIFIER_TRANSFERS) == 2
    assert await bus.depth(CLASSIFIER_TRANSFERS.bulk) == 3
    recorder = Recorder()
    async with bus.consuming(recorder):
        await until(lambda: len(recorder.ids) == 5)
    assert sorted(recorder.ids) == [1, 2, 10, 11, 12]
    assert all(len({m.event.priority for m in batch}) == 1 for batch in recorder.batches)  # type: ignore[attr-defined]


async def test_normal_work_goes_first_and_bulk_work_goes_on(bus: Bus) -> None:
    batch = CLASSIFIER_TRANSFERS.batch
    await publish(bus, requests(1000, 60 * batch, BULK))
    recorder = Recorder(pause=0.005)
    async with bus.consuming(recorder):
        await until(lambda: len(recorder.batches) >= 5)
        before = len(recorder.batches)
        await publish(bus, requests(1, 32 * batch, NORMAL))
        await until(lambda: sum(1 for one in recorder.ids if one < 1000) == 32 * batch)
        bulk_left = 60 * batch - sum(1 for one in recorder.ids if one >= 1000)
        assert bulk_left  # the single study was through long before the bulk load was
        await until(lambda: len(recorder.ids) == 92 * batch)
    order = recorder.order[before:]
    start = order.index(NORMAL)
    both = order[start : len(order) - order[::-1].index(NORMAL)]
    normal, bulk = both.count(NORMAL), both.count(BULK)
    assert 1 <= bulk <= normal // WEIGHT + 2
    assert len(set(recorder.ids)) == 92 * batch


async def test_normal_work_that_hangs_does_not_stop_bulk_work(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.turns.Turns.__init__.__defaults__", (WEIGHT, 0.1))
    hangs = asyncio.Event()

    @dataclass
    class Hanging(Recorder):
        async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
            await super().handle(batch, outcome)
            if batch[0].event.priority is NORMAL:  # type: ignore[attr-defined]
                await hangs.wait()

    recorder = Hanging()
    await publish(bus, requests(1, 1, NORMAL))
    async with bus.consuming(recorder):
        await until(lambda: recorder.order == [NORMAL])
        await publish(bus, requests(10, 3 * CLASSIFIER_TRANSFERS.batch, BULK))
        await until(lambda: recorder.order.count(BULK) >= 3)
        hangs.set()


async def test_what_is_retried_comes_back_to_its_own_queue(bus: Bus) -> None:
    @dataclass
    class Busy(Recorder):
        async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
            await super().handle(batch, outcome)
            for message in batch:
                if message.envelope.attempt == 0:
                    outcome.retry(message.event, message)

    recorder = Busy()
    await publish(bus, [*requests(1, 1, NORMAL), *requests(2, 1, BULK)])
    async with bus.consuming(recorder):
        await until(lambda: sorted(recorder.ids) == [1, 1, 2, 2])
    assert sorted(recorder.order) == [BULK, BULK, NORMAL, NORMAL]


async def test_what_follows_from_bulk_work_is_bulk_work(bus: Bus) -> None:
    @dataclass
    class Following(Recorder):
        async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
            await super().handle(batch, outcome)
            for message in batch:
                event = InstanceAssigned(
                    transfer_id=1,
                    series_id=1,
                    delivery_ids=(1,),
                    priority=message.event.priority,  # type: ignore[attr-defined]
                )
                outcome.publish(event, message)

    recorder = Following()
    await publish(bus, requests(2, 1, BULK))
    async with bus.consuming(recorder):
        await until(lambda: bool(recorder.batches))
        bulk = ANONYMIZER_ASSIGNED.bulk
        assert bulk is not None
        async with asyncio.timeout(5):
            while await bus.depth(bulk) == 0:
                await asyncio.sleep(0.02)
    assert await bus.depth(ANONYMIZER_ASSIGNED) == 0


async def test_messages_of_the_previous_version_are_understood(amqp_url: str) -> None:
    """They say nothing of priorities, lie in the queues that were there, and are normal."""
    async with open_bus(Settings(bus_url=amqp_url), "tests") as opened:
        await opened.depth(CLASSIFIER_TRANSFERS)
        old = Envelope.around(TransferRequested(transfer_id=7), producer="old", correlation_id="x")
        # What a service of this version says of normal work, one of the last one understands.
        assert old.body == {"transfer_id": 7}
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(
                aio_pika.Message(old.model_dump_json().encode()), queue_name(CLASSIFIER_TRANSFERS)
            )
            exchange = await channel.get_exchange(EXCHANGE)
            await exchange.publish(
                aio_pika.Message(old.model_dump_json().encode()), "transfer.requested"
            )
        recorder = Recorder()
        async with opened.consuming(recorder):
            await until(lambda: recorder.ids == [7, 7])
    assert recorder.order[0] is NORMAL
