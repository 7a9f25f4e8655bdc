"""The policy that both transports share: batches in, what to publish out.

What fails inside a batch is split off until the culprit stands alone: first the batch into its
messages, then a message into its instances. The others go on; the culprit is retried alone, a
bounded number of times, then given up and dead-lettered. One poison message never stops its
neighbours.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from shared import telemetry
from shared.bus.base import Consumer, Message, Outcome
from shared.bus.topology import Queue
from shared.bus.turns import Turns
from shared.errors import Reason, Reject, Retry
from shared.events import Envelope

T = TypeVar("T")
log = telemetry.logger("bus")


async def take_batch(
    get: Callable[[], Awaitable[T]], most: int, linger: float, first: T
) -> list[T]:
    """`first` and what else arrives within `linger` seconds, `most` in all."""
    batch = [first]
    try:
        async with asyncio.timeout(linger):
            while len(batch) < most:
                batch.append(await get())
    except TimeoutError:
        pass
    return batch


async def handle_bodies(consumer: Consumer, bodies: Sequence[bytes], max_attempts: int) -> Outcome:
    """Handle message bodies as one batch; what is to be published for them."""
    handling = _Handling(consumer, Outcome(consumer.queue.service), max_attempts)
    started = time.monotonic()
    await handling.handle(handling.opened(bodies))
    telemetry.BATCH_SECONDS.labels(consumer.queue.name).observe(time.monotonic() - started)
    return handling.outcome


@asynccontextmanager
async def in_lanes(
    lane: Callable[[Consumer, asyncio.Event, Turns], Coroutine[Any, Any, None]],
    consumer: Consumer,
    lanes: int,
) -> AsyncIterator[None]:
    """Run `lane` so many times while the block runs; leaving it has them finish.

    And as often on the queue for bulk work, where there is one: a batch of it that takes long, or
    a destination that hangs, keeps no lane from normal work.
    """
    stopping, turns = asyncio.Event(), Turns()
    of_each = [_Of(consumer, queue) for queue in consumer.queue.both]
    async with asyncio.TaskGroup() as group:
        for one in of_each * lanes:
            group.create_task(lane(one, stopping, turns))
        try:
            yield
        finally:
            stopping.set()


@dataclass
class _Of:
    """A consumer on one of its two queues."""

    consumer: Consumer
    queue: Queue

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        await self.consumer.handle(batch, outcome)

    async def give_up(self, message: Message, reason: Reason) -> None:
        await self.consumer.give_up(message, reason)


class _Handling:
    """One batch on its way through a consumer."""

    def __init__(self, consumer: Consumer, outcome: Outcome, max_attempts: int) -> None:
        self.outcome = outcome
        self._consumer, self._queue = consumer, consumer.queue
        self._max_attempts = max_attempts

    def opened(self, bodies: Sequence[bytes]) -> list[Message]:
        """The messages in `bodies`; what is none goes to the dead letters."""
        messages = []
        for body in bodies:
            try:
                envelope = Envelope.model_validate_json(body)
            except ValidationError as error:
                self._count("rejected")
                detail = f"not an envelope: {error.error_count()} illegal fields"
                log.error("message dead-lettered", queue=self._queue.name, detail=detail)
                self.outcome.dead_letter_raw(self._queue, body, detail)
                continue
            try:
                messages.append(Message(envelope, envelope.event()))
            except Reject as error:
                self._bury(envelope, error.reason, error.detail)
        return messages

    async def handle(self, messages: list[Message]) -> None:
        """Handle `messages` together, or what of them can be."""
        if not messages:
            return
        outcome = Outcome(self.outcome.producer)
        try:
            await self._consumer.handle(messages, outcome)
        except Retry as error:
            self._log(messages[0], error)
            for message in messages:
                self._count("retried")
                self.outcome.retry(message.event, message)
        except Exception as error:  # the culprit is found below, and bounded
            await self._take_apart(messages, error)
        else:
            self._count("done", len(messages))
            self.outcome.add(outcome)

    async def _take_apart(self, messages: list[Message], error: Exception) -> None:
        self._log(messages[0], error)
        if len(messages) > 1:
            for message in messages:
                await self.handle([message])
            return
        message = messages[0]
        parts = message.event.split()
        if len(parts) > 1:
            for part in parts:
                await self.handle([Message(message.envelope, part)])
            return
        if isinstance(error, Reject):
            await self._give_up(message, error.reason, error.detail)
        elif message.envelope.attempt + 1 < self._max_attempts:
            self._count("retried")
            self.outcome.retry(message.event, message)
        else:
            await self._give_up(message, Reason.GAVE_UP, type(error).__qualname__)

    async def _give_up(self, message: Message, reason: Reason, detail: str) -> None:
        try:
            await self._consumer.give_up(message, reason)
        except Exception as error:
            # Not even that worked: the ledger is away. The work stays unfinished, hence visible.
            self._log(message, error)
            self.outcome.retry(message.event, message)
            return
        self._bury(message.envelope.again(message.event), reason, detail)

    def _bury(self, envelope: Envelope, reason: Reason, detail: str) -> None:
        self._count("rejected")
        log.error(
            "message dead-lettered",
            queue=self._queue.name,
            message_id=str(envelope.message_id),
            reason=reason,
            detail=detail,
        )
        self.outcome.dead_letter(self._queue, envelope, reason, detail)

    def _count(self, outcome: str, count: int = 1) -> None:
        telemetry.MESSAGES.labels(self._queue.name, outcome).inc(count)

    def _log(self, message: Message, error: Exception) -> None:
        log.warning(
            "message not handled",
            queue=self._queue.name,
            message_id=str(message.envelope.message_id),
            correlation_id=message.envelope.correlation_id,
            attempt=message.envelope.attempt,
            exc_info=error,
            **({"reason": error.reason} if isinstance(error, Retry | Reject) else {}),
        )
