"""Keeps to a destination's pace: so many images a second, over all associations to it."""

import threading
import time


class Pace:
    """Hands out moments that lie at least `1 / rate` seconds apart. Any thread may ask.

    Parameters
    ----------
    rate
        Images a second; 0 for any number.
    """

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for the next moment."""
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(self._next, now)
            self._next = begin + self._gap
        time.sleep(begin - now)
