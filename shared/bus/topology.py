"""The queues: one per service and purpose, and the events that each of them takes.

Where images flow there are two: bulk work has a queue of its own, so that a single study need not
wait behind a million images.
"""

from dataclasses import dataclass, replace

from shared.events import (
    AssociationClosed,
    DeadLettered,
    Event,
    InstanceAnonymized,
    InstanceAssigned,
    InstanceReceived,
    PreviewRequested,
    TransferRequested,
    key_of,
)
from shared.priority import Priority


@dataclass(frozen=True)
class Queue:
    """A queue and how it is consumed."""

    name: str
    events: tuple[type[Event], ...]
    batch: int = 16
    """Most messages handled in one ledger transaction."""
    linger: float = 0.02
    """Seconds to wait for a batch to fill."""
    priority: Priority = Priority.NORMAL
    """Of the work in it."""
    two: bool = False
    """Whether bulk work of this kind has a queue of its own."""

    @property
    def bulk(self) -> "Queue | None":
        """The queue for bulk work of this kind."""
        if not self.two:
            return None
        return replace(self, name=f"{self.name}.bulk", priority=Priority.BULK, two=False)

    @property
    def both(self) -> tuple["Queue", ...]:
        """This queue and the one for bulk work."""
        return (self, self.bulk) if self.bulk else (self,)

    @property
    def routing_keys(self) -> frozenset[str]:
        """Of the events that it takes."""
        return frozenset(key_of(event.type, self.priority) for event in self.events)

    @property
    def service(self) -> str:
        """The service that consumes it."""
        return self.name.partition(".")[0]


CLASSIFIER_RECEIVED = Queue("classifier.received", (InstanceReceived, AssociationClosed), two=True)
CLASSIFIER_TRANSFERS = Queue("classifier.transfers", (TransferRequested,), batch=4, two=True)
ANONYMIZER_ASSIGNED = Queue("anonymizer.assigned", (InstanceAssigned,), batch=4, two=True)
ANONYMIZER_PREVIEWS = Queue("anonymizer.previews", (PreviewRequested,), batch=1)
FORWARDER_ANONYMIZED = Queue("forwarder.anonymized", (InstanceAnonymized,), batch=8, two=True)
API_DEAD = Queue("api.dead", (DeadLettered,))

QUEUES = (
    *CLASSIFIER_RECEIVED.both,
    *CLASSIFIER_TRANSFERS.both,
    *ANONYMIZER_ASSIGNED.both,
    ANONYMIZER_PREVIEWS,
    *FORWARDER_ANONYMIZED.both,
    API_DEAD,
)
