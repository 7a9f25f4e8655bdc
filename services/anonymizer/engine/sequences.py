"""Sequences that were met before: a series' images repeat most of theirs, byte for byte."""

import threading

from services.anonymizer.engine.found import Told

LONGEST = 1 << 12
"""Bytes; longer ones differ from image to image anyway."""
_OVERHEAD = 200  # bytes of an entry besides its contents
_REMEMBERED = 1 << 22


class Sequences(threading.local):
    """What whole sequences tell, by their bytes; for each thread its own.

    Only sequences whose bytes say it all are learnt: of defined length, with no sequence and no
    character set in them.
    """

    def __init__(self) -> None:
        self._explicit: dict[bytes, Told] = {}
        self._implicit: dict[bytes, Told] = {}
        self._size = 0

    def known(self, *, implicit: bool) -> dict[bytes, Told]:
        """Those of one encoding, from the first byte of the tag on."""
        return self._implicit if implicit else self._explicit

    def learn(self, element: bytes, told: Told, *, implicit: bool) -> None:
        """Remember what a sequence tells."""
        self._size += len(element) + _OVERHEAD
        if self._size > _REMEMBERED:
            # What varies from image to image has filled it up.
            self._explicit.clear()
            self._implicit.clear()
            self._size = 0
        self.known(implicit=implicit)[element] = told
