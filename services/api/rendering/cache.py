"""Pictures that were drawn, as long as there is room: in memory only, they are patient data."""

import time
from collections import OrderedDict
from collections.abc import Hashable

from services.api.rendering.wishes import Failure

Outcome = bytes | Failure

_ENTRY = 500  # bytes that an entry takes besides its picture
_FAILURE_KEPT = 300.0  # seconds: what was too slow or too large once may not be again


class Cache:
    """Outcomes by key, the least recently used ones forgotten first.

    Parameters
    ----------
    room
        Bytes that pictures may take.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken = 0
        self._entries: OrderedDict[Hashable, tuple[Outcome, float | None]] = OrderedDict()

    def get(self, key: Hashable) -> Outcome | None:
        """The outcome under `key`; None where there is none (any more)."""
        found = self._entries.get(key)
        if found is None:
            return None
        outcome, until = found
        if until is not None and until < time.monotonic():
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return outcome

    def put(self, key: Hashable, outcome: Outcome) -> None:
        """Keep an outcome; one that would take more than a quarter of the room is not."""
        self._forget(key)
        if _size(outcome) > self._room // 4:
            return
        until = None
        if outcome is Failure.UNDECODABLE:
            until = time.monotonic() + _FAILURE_KEPT
        self._entries[key] = outcome, until
        self._taken += _size(outcome)
        while self._taken > self._room:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Hashable) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._taken -= _size(found[0])


def _size(outcome: Outcome) -> int:
    return _ENTRY + (len(outcome) if isinstance(outcome, bytes) else 0)
