"""The queues: one per service and purpose, and the events that each of them takes."""

from dataclasses import dataclass

from shared.events import (
    AssociationClosed,
    DeadLettered,
    Event,
    InstanceAnonymized,
    InstanceAssigned,
    InstanceReceived,
    PreviewRequested,
    TransferRequested,
)


@dataclass(frozen=True)
class Queue:
    """A queue and how it is consumed."""

    name: str
    events: tuple[type[Event], ...]
    batch: int = 16
    """Most messages handled in one ledger transaction."""
    linger: float = 0.02
    """Seconds to wait for a batch to fill."""

    @property
    def service(self) -> str:
        """The service that consumes it."""
        return self.name.partition(".")[0]


CLASSIFIER_RECEIVED = Queue("classifier.received", (InstanceReceived, AssociationClosed))
CLASSIFIER_TRANSFERS = Queue("classifier.transfers", (TransferRequested,), batch=4)
ANONYMIZER_ASSIGNED = Queue("anonymizer.assigned", (InstanceAssigned,), batch=4)
ANONYMIZER_PREVIEWS = Queue("anonymizer.previews", (PreviewRequested,), batch=1)
FORWARDER_ANONYMIZED = Queue("forwarder.anonymized", (InstanceAnonymized,), batch=8)
API_DEAD = Queue("api.dead", (DeadLettered,))

QUEUES = (
    CLASSIFIER_RECEIVED,
    CLASSIFIER_TRANSFERS,
    ANONYMIZER_ASSIGNED,
    ANONYMIZER_PREVIEWS,
    FORWARDER_ANONYMIZED,
    API_DEAD,
)
