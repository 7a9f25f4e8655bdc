"""Reads the header elements of a DICOM file without building a data set.

Classifying needs a few dozen values of each of a hundred thousand files, so this walks the raw
bytes (PS3.5 section 7.1) and decodes only what is asked for. It also walks *past* the pixel data to
the end, so that a file that ends too early is noticed. All four encodings are read: explicit and
implicit VR, little and big endian, deflated or not.
"""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes

from shared.errors import Reason, Reject

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95"})

MAX_VALUE = 1 << 16
"""Longest value that is kept, bytes: facts are short, and memory stays bounded."""
MAX_DEPTH = 64
MAX_INFLATED = 1 << 30

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# The VRs with a 32-bit length (PS3.5 table 7.1-1) and those with a 16-bit one (table 7.1-2).
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_TEXT_VRS: frozenset[bytes] = frozenset([b"", *b"LO LT PN SH ST UC UN UT".split()])
_NUMBER_CODES = {b"US": "H", b"SS": "h", b"UL": "L", b"SL": "l", b"FL": "f", b"FD": "d",
                 b"UV": "Q", b"SV": "q"}  # fmt: skip
_DELIMITERS = {0x5C, 0x5E, 0x3D}  # backslash, caret, equals sign: they reset ISO 2022 escapes
_CHUNK = 1 << 15
_HEADER_BYTES = 12  # of the longest element header

Element = tuple[bytes, int, int]
"""VR (empty in implicit VR), offset and length of a value."""


class Header:
    """The top-level elements of one file. What is missing, empty or too long gives None."""

    def __init__(
        self, syntax: str, offset: int, elements: dict[int, Element], values: dict[int, bytes]
    ) -> None:
        self.transfer_syntax = syntax
        self.data_set_offset = offset
        """Where in the file the data set starts, behind the file meta information."""
        self._elements = elements
        self._values = values
        self._charset: list[str] | None = None

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def raw(self, tag: int) -> bytes | None:
        """The value's bytes as they stand, padding included."""
        return self._values.get(tag)

    def text(self, tag: int) -> str | None:
        """The value as text, padding stripped, several values joined by backslashes."""
        return "\\".join(self.texts(tag)) or None

    def texts(self, tag: int) -> list[str]:
        """The values as texts, padding stripped; an empty list when missing or empty."""
        raw = self._values.get(tag)
        if not raw:
            return []
        vr = self._elements[tag][0]
        if vr in _NUMBER_CODES:
            return [str(number) for number in self._numbers(raw, _NUMBER_CODES[vr])]
        if vr in _TEXT_VRS:
            text = decode_bytes(raw, self._encodings(), _DELIMITERS)
        else:
            text = raw.decode("latin-1")
        values = [value.strip(" \0") for value in text.split("\\")]
        return values if any(values) else []

    def _numbers(self, raw: bytes, code: str) -> tuple[Any, ...]:
        order = ">" if self.transfer_syntax == EXPLICIT_BIG else "<"
        count = len(raw) // struct.calcsize(order + code)
        return struct.unpack_from(f"{order}{count}{code}", raw)

    def _encodings(self) -> list[str]:
        if self._charset is None:
            names = self._values.get(0x00080005, b"").decode("latin-1").split("\\")
            try:
                self._charset = convert_encodings([name.strip(" \0") for name in names])
            except (LookupError, ValueError):
                self._charset = ["latin_1"]
        return self._charset


def read_header(path: Path, *, stop_after: int | None = None) -> Header:
    """Read the top-level elements of the Part 10 file `path`.

    Parameters
    ----------
    stop_after
        Stop at the first tag behind this one, without looking at the rest of the file.

    Raises
    ------
    Reject
        `not-dicom`, `truncated` or `unreadable`.
    OSError
        The file can't be read.
    """
    with path.open("rb") as file:
        window = _Window(file.fileno(), os.fstat(file.fileno()).st_size)
        syntax, offset = _read_meta(window)
        position = offset
        if syntax in DEFLATED:
            window, position = _Inflated(window.bytes(offset, window.size - offset)), 0
        walk = _Walk(window, syntax == IMPLICIT_LITTLE, syntax == EXPLICIT_BIG)
        elements, values = walk.data_set(position, stop_after)
    return Header(syntax, offset, elements, values)


def _read_meta(window: "_Window") -> tuple[str, int]:
    """The transfer syntax, and where the data set starts."""
    if window.size < 132 or window.bytes(128, 4) != b"DICM":
        raise Reject(Reason.NOT_DICOM)
    # The file meta group is explicit little endian whatever follows (PS3.10 section 7.1).
    walk, position, syntax = _Walk(window, False, False), 132, b""
    while window.size - position >= 8 and window.bytes(position, 2) == b"\x02\x00":
        tag, (_, offset, length) = walk.element(position)
        if tag == 0x00020010:
            syntax = window.bytes(offset, length)
        position = offset + length
    if not syntax.strip(b" \0"):
        raise Reject(Reason.NOT_DICOM, "no transfer syntax")
    return syntax.decode("latin-1").strip(" \0"), position


class _Window:
    """The bytes of a file, read as far as the walk needs them."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self._descriptor = descriptor
        self._start, self._end, self._data = 0, 0, b""

    def around(self, position: int, count: int = _HEADER_BYTES) -> tuple[bytes, int, int]:
        """A buffer that holds `count` bytes from `position`, and where in the file it starts and
        ends. Behind the end of the file it holds zeros, enough to look at one element header.
        """
        if position < self._start or position + count > self._end:
            data = os.pread(self._descriptor, max(count, _CHUNK), position)
            if position + len(data) >= self.size:
                data += bytes(_HEADER_BYTES)
            self._start, self._end, self._data = position, position + len(data), data
        return self._data, self._start, self._end

    def bytes(self, position: int, count: int) -> bytes:
        """Exactly `count` bytes from `position`."""
        if position + count > self.size:
            raise Reject(Reason.TRUNCATED)
        data, start, _ = self.around(position, count)
        return data[position - start : position - start + count]


class _Inflated(_Window):
    """The same over an inflated data set (PS3.5 A.5)."""

    def __init__(self, packed: bytes) -> None:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = stream.decompress(packed, MAX_INFLATED)
        except zlib.error:
            raise Reject(Reason.UNREADABLE, "the deflated data can't be inflated") from None
        if stream.unconsumed_tail:
            raise Reject(Reason.UNREADABLE, "the deflated data is larger than 1 GiB")
        if not stream.eof:
            raise Reject(Reason.TRUNCATED)
        self.size, self._data = len(data), data + bytes(_HEADER_BYTES)
        self._start, self._end = 0, len(self._data)


class _Walk:
    """Steps through elements, items and fragments of one encoding."""

    def __init__(self, window: _Window, implicit: bool, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        self._window, self._implicit = window, implicit
        self._start_of: Callable[..., tuple[Any, ...]] = struct.Struct(order + "HH2sH").unpack_from
        self._length_at: Callable[..., tuple[int]] = struct.Struct(order + "L").unpack_from

    def data_set(
        self, position: int, stop_after: int | None
    ) -> tuple[dict[int, Element], dict[int, bytes]]:
        """All top-level elements and the values that are short enough to keep.

        The loop of `element`, written out: it runs some hundred times for each image.
        """
        window, size, start_of = self._window, self._window.size, self._start_of
        last = stop_after if stop_after is not None else 0xFFFFFFFF
        elements: dict[int, Element] = {}
        values: dict[int, bytes] = {}
        data, start, end = window.around(position)
        while position < size:
            if position + _HEADER_BYTES > end:
                data, start, end = window.around(position)
            group, number, vr, length = start_of(data, position - start)
            if vr in _SHORT_VRS and not self._implicit:
                tag, offset = group << 16 | number, position + 8
            else:
                tag, (vr, offset, length) = self.element(position)
            if tag < 0x00080000:
                if not any(window.bytes(position, min(size - position, _CHUNK))):
                    break  # padded with zeros to a block size, as some archives do
                raise Reject(Reason.UNREADABLE, "an element that no stored object has")
            if tag > last:
                break
            # Of an element that stands there twice the first one counts.
            known = elements.setdefault(tag, (vr, offset, length))
            if length == _UNDEFINED:
                position = self._inside(vr).past_items(offset, 0)
                continue
            position = offset + length
            if length <= MAX_VALUE and position <= size and known[1] == offset:
                if position > end:
                    data, start, end = window.around(offset, length)
                values[tag] = data[offset - start : position - start]
        if position > size:
            raise Reject(Reason.TRUNCATED)
        return elements, values

    def element(self, position: int) -> tuple[int, Element]:
        """The element, item or delimiter at `position`."""
        data, start, _ = self._window.around(position)
        place = position - start
        group, number, vr, length = self._start_of(data, place)
        if self._implicit or group == 0xFFFE:
            return group << 16 | number, (b"", position + 8, self._length_at(data, place + 4)[0])
        if vr in _SHORT_VRS:
            return group << 16 | number, (vr, position + 8, length)
        if vr in _LONG_VRS:
            return group << 16 | number, (vr, position + 12, self._length_at(data, place + 8)[0])
        if position + 8 > self._window.size:
            raise Reject(Reason.TRUNCATED)
        if group < 0x0008:
            return group << 16 | number, (b"", position + 8, 0)  # judged by `data_set`
        raise Reject(Reason.UNREADABLE, "an element without a value representation")

    def past_items(self, position: int, depth: int) -> int:
        """Where the items or fragments that start at `position` end (PS3.5 7.5.2 and A.4)."""
        if depth > MAX_DEPTH:
            raise Reject(Reason.UNREADABLE, "nested too deeply")
        while position < self._window.size:
            tag, (_, offset, length) = self.element(position)
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM:
                raise Reject(Reason.UNREADABLE, "a sequence without its end")
            position = self._past_item(offset, depth) if length == _UNDEFINED else offset + length
        raise Reject(Reason.TRUNCATED)

    def _past_item(self, position: int, depth: int) -> int:
        while position < self._window.size:
            tag, (vr, offset, length) = self.element(position)
            if tag == _ITEM_END:
                return offset
            if length == _UNDEFINED:
                position = self._inside(vr).past_items(offset, depth + 1)
            else:
                position = offset + length
        raise Reject(Reason.TRUNCATED)

    def _inside(self, vr: bytes) -> "_Walk":
        # UN of undefined length holds implicit little endian (PS3.5 6.2.2, note 2).
        return _Walk(self._window, True, False) if vr == b"UN" else self
