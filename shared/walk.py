"""Steps through the raw bytes of a data set (PS3.5 section 7) without building one.

All encodings: explicit and implicit VR, little and big endian, sequences and items of defined and
of undefined length, encapsulated fragments. Strict: what does not follow the encoding to the byte
ends in `Reject`, in time and memory bounded by the data.
"""

import os
import struct
from collections.abc import Callable
from typing import Any

from shared.errors import Reason, Reject

Element = tuple[bytes, int, int]
"""VR (empty in implicit VR), offset and length of a value."""

UNDEFINED = 0xFFFFFFFF
HEADER_BYTES = 12  # of the longest element header
CHUNK = 1 << 15
MAX_DEPTH = 64

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# The VRs with a 16-bit length (PS3.5 table 7.1-2) and those with a 32-bit one (table 7.1-1).
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Window:
    """The bytes of a file, read as far as the walk needs them."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self._descriptor = descriptor
        self._start, self._end, self._data = 0, 0, b""

    def around(self, position: int, count: int = HEADER_BYTES) -> tuple[bytes, int, int]:
        """A buffer that holds `count` bytes from `position`, and where in the file it starts and
        ends. Behind the end of the file it holds zeros, enough to look at one element header.
        """
        if position < self._start or position + count > self._end:
            data = os.pread(self._descriptor, max(count, CHUNK), position)
            if position + len(data) >= self.size:
                data += bytes(HEADER_BYTES)
            self._start, self._end, self._data = position, position + len(data), data
        return self._data, self._start, self._end

    def bytes(self, position: int, count: int) -> bytes:
        """Exactly `count` bytes from `position`."""
        if position + count > self.size:
            raise Reject(Reason.TRUNCATED)
        data, start, _ = self.around(position, count)
        return data[position - start : position - start + count]


class InMemory(Window):
    """The same over bytes that are in memory."""

    def __init__(self, data: bytes) -> None:
        self.size, self._data = len(data), data + bytes(HEADER_BYTES)
        self._start, self._end = 0, len(self._data)


class Walk:
    """Steps through elements, items and fragments of one encoding."""

    def __init__(self, window: Window, *, implicit: bool, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        self.window, self.implicit = window, implicit
        self.start_of: Callable[..., tuple[Any, ...]] = struct.Struct(order + "HH2sH").unpack_from
        self._length_at: Callable[..., tuple[int]] = struct.Struct(order + "L").unpack_from

    def element(self, position: int) -> tuple[int, Element]:
        """The element, item or delimiter at `position`."""
        data, start, _ = self.window.around(position)
        place = position - start
        group, number, vr, length = self.start_of(data, place)
        tag = group << 16 | number
        if self.implicit or group == 0xFFFE:
            return tag, (b"", position + 8, self._length_at(data, place + 4)[0])
        if vr in SHORT_VRS:
            return tag, (vr, position + 8, length)
        if vr in LONG_VRS:
            return tag, (vr, position + 12, self._length_at(data, place + 8)[0])
        if position + 8 > self.window.size:
            raise Reject(Reason.TRUNCATED)
        raise Reject(Reason.UNREADABLE, "an element without a value representation")

    def past_value(self, element: Element, depth: int = 0) -> int:
        """Where the value ends."""
        vr, offset, length = element
        if length != UNDEFINED:
            return offset + length
        return self._inside(vr).past_items(offset, depth)

    def past_items(self, position: int, depth: int) -> int:
        """Where the items or fragments that start at `position` end (PS3.5 7.5.2 and A.4)."""
        if depth > MAX_DEPTH:
            raise Reject(Reason.UNREADABLE, "nested too deeply")
        while position < self.window.size:
            tag, (_, offset, length) = self.element(position)
            if tag == SEQUENCE_END:
                return offset
            if tag != ITEM:
                raise Reject(Reason.UNREADABLE, "a sequence without its end")
            position = self._past_item(offset, depth) if length == UNDEFINED else offset + length
        raise Reject(Reason.TRUNCATED)

    def require_items(self) -> None:
        """Check that the window holds items from its first to its last byte, and data sets in them.

        Raises
        ------
        Reject
            It does not.
        """
        position = 0
        while position < self.window.size:
            tag, (_, offset, length) = self.element(position)
            if tag != ITEM:
                raise Reject(Reason.UNREADABLE, "no item")
            if length == UNDEFINED:
                position = self._past_item(offset, 0)
            else:
                position = self._require_elements(offset, offset + length)
        if position != self.window.size:
            raise Reject(Reason.TRUNCATED)

    def _past_item(self, position: int, depth: int) -> int:
        while position < self.window.size:
            tag, element = self.element(position)
            if tag == ITEM_END:
                return element[1]
            position = self.past_value(element, depth + 1)
        raise Reject(Reason.TRUNCATED)

    def _require_elements(self, position: int, end: int) -> int:
        last = 0
        while position < end:
            tag, element = self.element(position)
            if tag <= last or tag >> 16 == 0xFFFE:
                raise Reject(Reason.UNREADABLE, "elements out of order")
            last, position = tag, self.past_value(element, 1)
        if position != end or end > self.window.size:
            raise Reject(Reason.TRUNCATED)
        return end

    def _inside(self, vr: bytes) -> "Walk":
        # UN of undefined length holds implicit little endian (PS3.5 6.2.2, note 2).
        return Walk(self.window, implicit=True, big_endian=False) if vr == b"UN" else self
