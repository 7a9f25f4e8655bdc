"""Reads the header elements of a DICOM file without building a data set.

Classifying needs a few dozen values of each of a hundred thousand files, so this walks the raw
bytes (PS3.5 section 7.1) and decodes only what is asked for. It also walks *past* the pixel data to
the end, so that a file that ends too early is noticed. All four encodings are read: explicit and
implicit VR, little and big endian, deflated or not.
"""

import os
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes

from shared.errors import Reason, Reject
from shared.walk import CHUNK, HEADER_BYTES, SHORT_VRS, UNDEFINED, Element, InMemory, Walk, Window

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95"})

MAX_VALUE = 1 << 16
"""Longest value that is kept, bytes: facts are short."""
MAX_VALUES = 1 << 22
"""Most bytes of values that are kept of one file; what comes after is only stepped over."""
MAX_ELEMENTS = 20_000
"""Most top-level elements: real objects have some hundred."""
MAX_INFLATED = 1 << 28
_PEEK = 1 << 20  # enough of a deflated data set to reach the elements that come first

_TEXT_VRS: frozenset[bytes] = frozenset([b"", *b"LO LT PN SH ST UC UN UT".split()])
_NUMBER_CODES = {b"US": "H", b"SS": "h", b"UL": "L", b"SL": "l", b"FL": "f", b"FD": "d",
                 b"UV": "Q", b"SV": "q"}  # fmt: skip
_DELIMITERS = {0x5C, 0x5E, 0x3D}  # backslash, caret, equals sign: they reset ISO 2022 escapes


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

    @property
    def tags(self) -> Collection[int]:
        """The tags of the top-level elements."""
        return self._elements.keys()

    def element(self, tag: int) -> Element:
        """How an element is stored; the offset is that in the file, inflated if it is deflated."""
        return self._elements[tag]

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
        window = Window(file.fileno(), os.fstat(file.fileno()).st_size)
        syntax, offset = read_meta(window)
        position = offset
        if syntax in DEFLATED:
            window, position = _inflated(window, offset, peek=stop_after is not None), 0
        walk = Walk(window, implicit=syntax == IMPLICIT_LITTLE, big_endian=syntax == EXPLICIT_BIG)
        elements, values = _walk(walk, position, stop_after)
    return Header(syntax, offset, elements, values)


def read_meta(window: Window) -> tuple[str, int]:
    """The transfer syntax, and where the data set starts."""
    if window.size < 132 or window.bytes(128, 4) != b"DICM":
        raise Reject(Reason.NOT_DICOM)
    # The file meta group is explicit little endian whatever follows (PS3.10 section 7.1).
    walk, position, syntax = Walk(window, implicit=False, big_endian=False), 132, b""
    while window.size - position >= 8 and window.bytes(position, 2) == b"\x02\x00":
        tag, (_, offset, length) = walk.element(position)
        if tag == 0x00020010:
            syntax = window.bytes(offset, length)
        position = offset + length
    if not syntax.strip(b" \0"):
        raise Reject(Reason.NOT_DICOM, "no transfer syntax")
    return syntax.decode("latin-1").strip(" \0"), position


def _walk(
    walk: Walk, position: int, stop_after: int | None
) -> tuple[dict[int, Element], dict[int, bytes]]:
    """All top-level elements, and the values that are short enough to keep.

    The loop of `Walk.element`, written out: it runs some hundred times for each image.
    """
    window, size, start_of = walk.window, walk.window.size, walk.start_of
    last = stop_after if stop_after is not None else 0xFFFFFFFF
    elements: dict[int, Element] = {}
    values: dict[int, bytes] = {}
    kept = 0
    data, start, end = window.around(position)
    while position < size:
        if position + HEADER_BYTES > end:
            data, start, end = window.around(position)
        group, number, vr, length = start_of(data, position - start)
        tag = group << 16 | number
        if not 0x0008 <= group < 0xFFFE:
            if not any(window.bytes(position, min(size - position, CHUNK))):
                break  # padded with zeros to a block size, as some archives do
            raise Reject(Reason.UNREADABLE, "an element that no stored object has")
        if vr in SHORT_VRS and not walk.implicit:
            offset = position + 8
        else:
            tag, (vr, offset, length) = walk.element(position)
        if tag > last:
            break
        if tag in elements or len(elements) >= MAX_ELEMENTS:
            # Readers disagree on which of two counts: one could hide behind the other.
            raise Reject(Reason.UNREADABLE, "the same element twice, or too many elements")
        elements[tag] = element = vr, offset, length
        if length == UNDEFINED:
            position = walk.past_value(element)
            continue
        position = offset + length
        if length <= MAX_VALUE and position <= size and kept < MAX_VALUES:
            if position > end:
                data, start, end = window.around(offset, length)
            values[tag] = data[offset - start : position - start]
            kept += length
    if position > size:
        raise Reject(Reason.TRUNCATED)
    return elements, values


def _inflated(window: Window, offset: int, *, peek: bool) -> InMemory:
    """The inflated data set (PS3.5 A.5), or as much as its first elements need."""
    packed = window.bytes(offset, min(window.size - offset, _PEEK if peek else window.size))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = stream.decompress(packed, _PEEK if peek else MAX_INFLATED)
    except zlib.error:
        raise Reject(Reason.UNREADABLE, "the deflated data can't be inflated") from None
    if not peek and stream.unconsumed_tail:
        raise Reject(Reason.UNREADABLE, "the deflated data is too large")
    if not peek and not stream.eof:
        raise Reject(Reason.TRUNCATED)
    return InMemory(data)
