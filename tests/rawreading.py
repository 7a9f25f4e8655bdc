"""A small reader of Part 10 bytes, independent of pydicom's and of the engine's.

It is lenient: what can't be read is left out, and `Raw.whole` says so. Values that look like
sequence items are entered whatever their VR is.
"""

import struct
import zlib
from dataclasses import dataclass

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
# PS3.5 7.1.2: two reserved bytes and a length of four
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR",
                       b"UT", b"UV"})  # fmt: skip
_SHORT_VRS = frozenset({b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO",
                        b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL",
                        b"US"})  # fmt: skip
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95")
_DEEPEST = 60


class _Broken(Exception):
    """These bytes are no elements."""


@dataclass(frozen=True)
class _Coding:
    order: str = "<"
    explicit: bool = True


@dataclass(frozen=True)
class Element:
    """One element: `bytes[start:stop]` is its value."""

    path: str
    """Tags in hexadecimal and item numbers: `00400275[0].00400009`."""
    tag: int
    vr: str
    """As written; empty in implicit VR."""
    start: int
    stop: int


@dataclass
class Raw:
    """A file with its data set inflated, and where everything stands in it."""

    flat: bytes
    syntax: str
    elements: list[Element]
    whole: bool
    """Whether the elements reach exactly to the end of the file."""

    def value(self, element: Element) -> bytes:
        return self.flat[element.start : element.stop]

    def segments(self) -> list[tuple[int, bytes]]:
        """Everything but pixel data, with its offsets."""
        found, at = [], 0
        for element in sorted(self.elements, key=lambda one: one.start):
            if element.tag in PIXELS and element.start >= at:
                found.append((at, self.flat[at : element.start]))
                at = element.stop
        found.append((at, self.flat[at:]))
        return found

    def at(self, offset: int) -> Element | None:
        """The innermost element around an offset of `flat`."""
        around = [one for one in self.elements if one.start <= offset < one.stop]
        return min(around, key=lambda one: one.stop - one.start, default=None)


def read_raw(data: bytes) -> Raw:
    """Read a file from its bytes."""
    start = 132 if data[128:132] == b"DICM" else 0
    reader = _Reader(data)
    try:
        pos = reader.group_two(start)
    except _Broken:
        return Raw(data, "", reader.elements, whole=False)
    meta = {one.tag: data[one.start : one.stop] for one in reader.elements}
    syntax = meta.get(0x00020010, b"").strip(b"\0 ").decode("ascii", "replace")
    if syntax in _DEFLATED:
        try:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[pos:])
        except zlib.error:
            return Raw(data, syntax, reader.elements, whole=False)
        reader.flat = data[:pos] + inflated
    whole = reader.try_top(pos, _coding(reader.flat, pos, syntax))
    return Raw(reader.flat, syntax, reader.elements, whole)


def _coding(flat: bytes, pos: int, syntax: str) -> _Coding:
    # The first element tells more than the syntax: some files lie about it.
    explicit = flat[pos + 4 : pos + 6] in _LONG_VRS | _SHORT_VRS
    return _Coding(">" if syntax == _BIG_ENDIAN else "<", explicit)


class _Reader:
    def __init__(self, flat: bytes) -> None:
        self.flat = flat
        self.elements: list[Element] = []

    def group_two(self, pos: int) -> int:
        """Read the file meta information; where the data set begins."""
        while self.flat[pos : pos + 2] == b"\2\0":
            pos = self._element(pos, len(self.flat), _Coding(), "", 0)
        return pos

    def try_top(self, pos: int, coding: _Coding) -> bool:
        try:
            return self._data_set(pos, len(self.flat), coding, "", 0) == len(self.flat)
        except _Broken:
            return False

    def _unpack(self, form: str, pos: int, stop: int) -> tuple[int, ...]:
        if pos + struct.calcsize(form) > stop:
            raise _Broken
        return struct.unpack_from(form, self.flat, pos)

    def _tag(self, pos: int, stop: int, coding: _Coding) -> int:
        group, number = self._unpack(f"{coding.order}HH", pos, stop)
        return group << 16 | number

    def _data_set(self, pos: int, stop: int, coding: _Coding, path: str, depth: int) -> int:
        while pos < stop:
            if self._tag(pos, stop, coding) == _ITEM_END:
                return pos + 8
            pos = self._element(pos, stop, coding, path, depth)
        return pos

    def _element(self, pos: int, stop: int, coding: _Coding, path: str, depth: int) -> int:
        tag = self._tag(pos, stop, coding)
        if tag >> 16 == 0xFFFE or depth > _DEEPEST:
            raise _Broken
        vr, start, length = self._header(pos, stop, coding)
        path += f"{tag:08X}"
        here = len(self.elements)
        if length == _UNDEFINED:
            end = self._undefined(tag, vr, start, stop, coding, path, depth)
        else:
            end = start + length
            if end > stop:
                raise _Broken
            if tag not in PIXELS:
                self._enter(vr, start, end, coding, path, depth)
        self.elements.insert(here, Element(path, tag, vr, start, end))
        return end

    def _header(self, pos: int, stop: int, coding: _Coding) -> tuple[str, int, int]:
        vr = self.flat[pos + 4 : pos + 6] if coding.explicit else b""
        if vr in _SHORT_VRS:
            return vr.decode(), pos + 8, self._unpack(f"{coding.order}H", pos + 6, stop)[0]
        if vr in _LONG_VRS:
            return vr.decode(), pos + 12, self._unpack(f"{coding.order}L", pos + 8, stop)[0]
        return "", pos + 8, self._unpack(f"{coding.order}L", pos + 4, stop)[0]

    def _undefined(self, tag: int, vr: str, start: int, stop: int, coding: _Coding,
                   path: str, depth: int) -> int:  # fmt: skip
        if tag in PIXELS:
            return self._fragments(start, stop, coding)
        for inner in self._codings(vr, coding):
            kept = len(self.elements)
            try:
                return self._items(start, stop, inner, path, depth)
            except _Broken:
                del self.elements[kept:]
        raise _Broken

    def _enter(self, vr: str, start: int, stop: int, coding: _Coding, path: str,
               depth: int) -> None:  # fmt: skip
        """Read a value of known length as items, if it can be read so."""
        for inner in self._codings(vr, coding):
            if stop - start < 8 or self._tag(start, stop, inner) != _ITEM:
                continue
            kept = len(self.elements)
            try:
                if self._items(start, stop, inner, path, depth) == stop:
                    return
            except _Broken:
                pass
            del self.elements[kept:]

    @staticmethod
    def _codings(vr: str, coding: _Coding) -> list[_Coding]:
        if vr == "SQ":
            return [coding]
        # PS3.5 6.2.2 note 2: UN holds implicit little endian; not every writer knows.
        others = [_Coding("<", explicit) for explicit in (False, True)]
        return list(dict.fromkeys([*others, coding] if vr == "UN" else [coding, *others]))

    def _items(self, pos: int, stop: int, coding: _Coding, path: str, depth: int) -> int:
        number = 0
        while pos < stop:
            tag = self._tag(pos, stop, coding)
            length = self._unpack(f"{coding.order}L", pos + 4, stop)[0]
            pos += 8
            if tag == _SEQUENCE_END:
                return pos
            if tag != _ITEM:
                raise _Broken
            end = stop if length == _UNDEFINED else pos + length
            if end > stop:
                raise _Broken
            pos = self._data_set(pos, end, coding, f"{path}[{number}].", depth + 1)
            number += 1
        return pos

    def _fragments(self, pos: int, stop: int, coding: _Coding) -> int:
        while True:
            tag = self._tag(pos, stop, coding)
            length = self._unpack(f"{coding.order}L", pos + 4, stop)[0]
            pos += 8
            if tag == _SEQUENCE_END:
                return pos
            if tag != _ITEM or pos + length > stop:
                raise _Broken
            pos += length
