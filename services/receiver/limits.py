"""How many associations may be open at once, in all and from one address."""

import threading
from collections import Counter


class Limits:
    """Counts associations; any thread.

    Parameters
    ----------
    in_all, per_peer
        Most associations at once; `per_peer` counts those from one network address.
    """

    def __init__(self, in_all: int, per_peer: int) -> None:
        self._in_all, self._per_peer = in_all, per_peer
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Whether there is room for one more from `address`, which is taken then."""
        with self._lock:
            if self._open.total() >= self._in_all or self._open[address] >= self._per_peer:
                return False
            self._open[address] += 1
            return True

    def leave(self, address: str) -> None:
        """Give the room back."""
        with self._lock:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
