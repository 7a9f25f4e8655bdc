"""Leaves a destination alone that takes long to say nothing: others wait in the same queue."""

import time

from services.forwarder.outcome import Answer, Verdict
from shared.errors import Reason

_SLOW = 2.0  # seconds without an answer after which a peer is left alone for a while
_SHORTEST, _LONGEST = 10.0, 600.0
TURN = 600.0
"""Seconds for one batch: a broker takes a message back that is held for half an hour."""
LATER = Answer(Verdict.RETRY, Reason.DESTINATION_BUSY, "it is slow: others have their turn")


class Rest:
    """How long one destination is left alone, and what is said of it meanwhile."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._until, self._pause = 0.0, 0.0
        self._broken = 0
        self._turn_ends = 0.0

    def begin_batch(self) -> Answer | None:
        """What is said to everything while it is left alone; None when it is not."""
        self._turn_ends = time.monotonic() + TURN
        return self._answer if time.monotonic() < self._until else None

    def is_late(self) -> bool:
        """Whether one batch has taken long enough."""
        return time.monotonic() > self._turn_ends

    def note(self, answer: Answer, took: float) -> bool:
        """Note an answer that took so many seconds; whether the others need not knock as well.

        Once nothing may be bad luck; nobody there twice, or nobody who answers, is not. Who is not
        let in knows it at once.
        """
        if answer.reason is Reason.DESTINATION_DENIED:
            return True
        if answer.reason is not Reason.DESTINATION_AWAY:
            self._broken = 0
            return False
        self._broken += 1
        slow = took > _SLOW
        if not slow and self._broken < 2:
            return False
        self._pause = min(max(2 * self._pause, _SHORTEST), _LONGEST) if slow else 0.0
        self._answer, self._until = answer, time.monotonic() + self._pause
        return True

    def end_batch(self) -> None:
        """Forget the pause where all is well; the next batch begins to count anew."""
        if not self._broken:
            self._pause = 0.0
        self._broken = 0
