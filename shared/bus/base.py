"""What consumers and transports agree on."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

from shared.bus.topology import Queue
from shared.errors import Reason
from shared.events import DeadLettered, Envelope, Event

MAX_DEAD_BODY = 256 * 1024


class Message(NamedTuple):
    """An event as it was taken from a queue; `event` may name a part of what the envelope holds."""

    envelope: Envelope
    event: Event


@dataclass
class Outcome:
    """What is to be published once a batch is handled; whatever it does not name again is done."""

    producer: str
    published: list[Envelope] = field(default_factory=list)
    retried: list[Envelope] = field(default_factory=list)

    def publish(self, event: Event, because: Message) -> None:
        """Publish `event` as a consequence of `because`."""
        self.published.append(
            Envelope.around(
                event, producer=self.producer, correlation_id="", cause=because.envelope
            )
        )

    def retry(self, event: Event, because: Message) -> None:
        """Try the part of `because` that `event` names again, after the next delay."""
        self.retried.append(because.envelope.again(event))

    def dead_letter(self, queue: Queue, because: Envelope, reason: Reason, detail: str) -> None:
        """Keep the message `because` for a person."""
        self._bury(queue, because.model_dump_json(), reason, detail, because)

    def dead_letter_raw(self, queue: Queue, body: bytes, detail: str) -> None:
        """Keep a message that is not even an envelope."""
        text = body[:MAX_DEAD_BODY].decode("utf-8", "replace")
        self._bury(queue, text, Reason.UNKNOWN_EVENT, detail, None)

    def _bury(
        self, queue: Queue, body: str, reason: Reason, detail: str, cause: Envelope | None
    ) -> None:
        event = DeadLettered(
            queue=queue.name, reason=reason, detail=detail, body=body[:MAX_DEAD_BODY]
        )
        self.published.append(
            Envelope.around(
                event, producer=self.producer, correlation_id="dead-letter", cause=cause
            )
        )

    def add(self, other: Self) -> None:
        """Take over what `other` is to publish."""
        self.published += other.published
        self.retried += other.retried


class Consumer(Protocol):
    """What a service does with the messages of one queue."""

    queue: Queue

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Handle a batch: one ledger transaction, its consequences put into `outcome`.

        Must be repeatable: the same messages may come again, in other batches.

        Raises
        ------
        Retry
            None of it could be done; all of it is tried again later.
        Exception
            Unexpected: the batch is taken apart until the culprit stands alone.
        """

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Put into the ledger that this one piece of work has failed for good."""


class Bus(Protocol):
    """A transport for events."""

    async def publish(self, events: Iterable[Event], *, producer: str, correlation_id: str) -> None:
        """Publish new events; returns when the transport has taken responsibility for them.

        Parameters
        ----------
        producer
            The service's name.
        correlation_id
            What these events and all that follow from them have in common.

        Raises
        ------
        Retry
            The transport is away or refused one of them (`bus-away`).
        """

    def consuming(self, consumer: Consumer, *, lanes: int = 1) -> AbstractAsyncContextManager[None]:
        """Consume while the block runs; leaving it finishes the batches in hand.

        Parameters
        ----------
        lanes
            Batches handled at the same time.
        """

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in `queue`, delayed ones not counted."""

    async def purge(self) -> None:
        """Throw away every message (an operator's last resort; nothing is lost, see law 1)."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...
