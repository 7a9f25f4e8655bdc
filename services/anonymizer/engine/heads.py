"""What the first bytes of an element say, worked out once for each kind of element."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from services.anonymizer.engine.actions import SPECIFIC_CHARACTER_SET
from services.anonymizer.engine.identity import Kind, kind_of
from shared.walk import LONG_VRS, SHORT_VRS

PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
FACTS = frozenset({0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E})
ITEM_END = 0xFFFEE00D
_TAG = struct.Struct("<HH").unpack_from
_SHORT, _LONG = struct.Struct("<H").unpack_from, struct.Struct("<L").unpack_from
_Reader = Callable[[bytes, int], tuple[int]]
_VRS = SHORT_VRS | LONG_VRS


class Unsure(Exception):
    """The bytes are not plain enough for the scanner."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes of an element say."""

    tag: int
    vr: str
    """As both readers understand it: UN is resolved where a dictionary knows the element."""
    kind: Kind | None
    long: bool
    """In explicit VR: a header of 12 bytes."""
    unknown: bool = False
    """The file itself says UN, or (in implicit VR) nothing."""

    @property
    def private(self) -> bool:
        """Whether the group is odd."""
        return bool(self.tag >> 16 & 1)

    @property
    def is_plain(self) -> bool:
        """Whether the scanner need not look at the element any closer."""
        special = self.tag in PIXEL_DATA or self.tag == SPECIFIC_CHARACTER_SET
        # Private creators, and private elements that only a dictionary knows, are special.
        private = self.private and (self.tag & 0xFFFF < 0x1000 or self.unknown)
        return not (special or private)

    @property
    def tells(self) -> bool:
        """Whether its value is needed before anything can be decided."""
        return self.kind is not None or self.tag in FACTS


_ITEM_END = Head(ITEM_END, "", None, long=False)


class Plain(NamedTuple):
    """The head of an element that is nothing special, in the form that is read fastest."""

    head: Head
    tag: int
    at: int
    """Where the length stands, from the start of the element."""
    length_at: _Reader
    """Reads it."""
    header: int
    """Bytes before the value."""
    tells: bool
    private: bool
    sequence: bool


PLAIN_EXPLICIT: dict[bytes, Plain] = {}
"""By the first six bytes."""
PLAIN_IMPLICIT: dict[bytes, Plain] = {}
"""By the first four bytes."""
_MOST_PLAIN = 8192


@lru_cache(maxsize=8192)
def explicit_head(start: bytes) -> Head:
    """The head of an element in explicit VR, from its first six bytes."""
    tag, vr = _tag_of(start), start[4:6]
    if tag == ITEM_END:
        return _ITEM_END
    if vr not in _VRS:
        raise Unsure
    long = vr in LONG_VRS
    if vr == b"UN":
        return resolved_head(tag, "", long=True)
    head = Head(tag, vr.decode(), kind_of(tag, vr.decode()), long)
    if long:
        _remember(PLAIN_EXPLICIT, start, head, 8, _LONG, 12)
    else:
        _remember(PLAIN_EXPLICIT, start, head, 6, _SHORT, 8)
    return head


@lru_cache(maxsize=8192)
def implicit_head(start: bytes) -> Head:
    """The head of an element in implicit VR, from its first four bytes."""
    tag = _tag_of(start)
    if tag == ITEM_END:
        return _ITEM_END
    head = resolved_head(tag, "", long=False)
    _remember(PLAIN_IMPLICIT, start, head, 4, _LONG, 8)
    return head


def _tag_of(start: bytes) -> int:
    group, element = _TAG(start)
    tag: int = group << 16 | element
    if tag != ITEM_END and not 0x0008 <= group < 0xFFFE:
        raise Unsure
    return tag


def _remember(
    plain: dict[bytes, Plain], start: bytes, head: Head, at: int, length_at: _Reader, header: int
) -> None:
    if head.is_plain and len(plain) < _MOST_PLAIN:
        plain[start] = Plain(
            head, head.tag, at, length_at, header, head.tells, head.private, head.vr == "SQ"
        )


@lru_cache(maxsize=8192)
def resolved_head(tag: int, creator: str, *, long: bool) -> Head:
    """The head of an element whose VR the dictionaries know, or nobody."""
    vr = "UN"
    try:
        if not tag >> 16 & 1:
            vr = dictionary_VR(tag).split(" ")[0]
        elif 0x10 <= tag & 0xFFFF <= 0xFF:
            vr = "LO"
        elif creator:
            vr = private_dictionary_VR(tag, creator).split(" ")[0]
    except KeyError:
        pass
    return Head(tag, vr, kind_of(tag, vr), long, unknown=True)
