"""Which work goes first: a single study never waits behind a bulk load."""

from enum import StrEnum

WEIGHT = 8
"""Normal batches that go for each bulk one, while there are both."""


class Priority(StrEnum):
    """How urgent work is. Each stage has a queue for either."""

    NORMAL = "normal"
    """Somebody waits for it: goes first."""
    BULK = "bulk"
    """There is a lot of it: goes when nothing else waits, and a little all the time."""


def least(*urgent: Priority | str) -> Priority:
    """Bulk as soon as one of them is."""
    return Priority.BULK if Priority.BULK in urgent else Priority.NORMAL
