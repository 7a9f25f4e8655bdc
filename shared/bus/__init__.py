"""The bus: batches of events between services, over RabbitMQ or within one process.

The bus is a nudge (law 1). What it promises: an event that `publish` accepted reaches every queue
bound to its type unless the broker loses it, possibly twice, in any order. What it never does: lose
a message silently because handling it failed.
"""

from shared.bus.base import Bus, Consumer, Message, Outcome
from shared.bus.opening import open_bus
from shared.bus.topology import (
    ANONYMIZER_ASSIGNED,
    ANONYMIZER_PREVIEWS,
    API_DEAD,
    CLASSIFIER_RECEIVED,
    CLASSIFIER_TRANSFERS,
    FORWARDER_ANONYMIZED,
    QUEUES,
    Queue,
)

__all__ = [
    "ANONYMIZER_ASSIGNED",
    "ANONYMIZER_PREVIEWS",
    "API_DEAD",
    "CLASSIFIER_RECEIVED",
    "CLASSIFIER_TRANSFERS",
    "FORWARDER_ANONYMIZED",
    "QUEUES",
    "Bus",
    "Consumer",
    "Message",
    "Outcome",
    "Queue",
    "open_bus",
]
