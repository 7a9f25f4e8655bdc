"""Where a service can be made to end as a power cut ends it, so that tests can show what becomes of
the images then. Every point is listed here; a service without `SLUSE_FAULT` passes them all.
"""

import os
import re
import signal
from enum import StrEnum


class Point(StrEnum):
    """The steps of the consumers, each named by its service and by what has just been done."""

    # An image comes in
    RECEIVER_WRITTEN = "receiver.written"
    """The data set is in a temporary file, whole."""
    RECEIVER_KEPT = "receiver.kept"
    """It has its name in the inbox; the sender has no answer yet."""
    RECEIVER_ENDED = "receiver.ended"
    """The end of the association is noted, and nobody was told."""
    RECEIVER_ANNOUNCED = "receiver.announced"
    """The classifier was told."""
    # It is catalogued
    CLASSIFIER_EXAMINED = "classifier.examined"
    """The headers are read."""
    CLASSIFIER_RECORDED = "classifier.recorded"
    """Everything is written into the transaction, which is open."""
    CLASSIFIER_COMMITTED = "classifier.committed"
    """The ledger has it; the inbox has it, too."""
    CLASSIFIER_CLEARED = "classifier.cleared"
    """The inbox is cleared; no event has gone out."""
    CLASSIFIER_EXPANDED = "classifier.expanded"
    """A requested transfer's deliveries are written into the transaction, which is open."""
    CLASSIFIER_ASSIGNED = "classifier.assigned"
    """They are committed; no event has gone out."""
    # It is de-identified
    ANONYMIZER_WRITTEN = "anonymizer.written"
    """The copies are in the spool; the ledger does not know."""
    ANONYMIZER_NOTED = "anonymizer.noted"
    """They are noted in the transaction, which is open."""
    ANONYMIZER_COMMITTED = "anonymizer.committed"
    """The ledger knows; no event has gone out."""
    # It is delivered
    FORWARDER_TAKEN = "forwarder.taken"
    """The ledger knows where the copies are about to go; none has gone."""
    FORWARDER_SENT = "forwarder.sent"
    """The destination has answered; the ledger does not know."""
    FORWARDER_NOTED = "forwarder.noted"
    """The answers are noted in the transaction, which is open."""
    FORWARDER_COMMITTED = "forwarder.committed"
    """The ledger knows; no event has gone out."""
    # Between the services
    BUS_HANDLED = "bus.handled"
    """A batch is handled; what follows from it is not published."""
    BUS_PUBLISHED = "bus.published"
    """What follows is published; the batch is not acknowledged, and comes again."""


FAULT = rf"^({'|'.join(map(re.escape, Point))}):[1-9][0-9]{{0,5}}$"
"""How a fault is written: the point, and at which passing of it the process ends."""

_armed: dict[Point, int] = {}


def arm(fault: str) -> None:
    """End this process when it has passed a point so many times.

    Parameters
    ----------
    fault
        As `FAULT` says.
    """
    point, _, passing = fault.rpartition(":")
    _armed[Point(point)] = int(passing)


def reach(point: Point) -> None:
    """Pass a point; where it is armed, the process may end here, without any farewell."""
    if point not in _armed:
        return
    _armed[point] -= 1
    if _armed[point] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
