"""What the first bytes of an element say, worked out once for each kind of element."""

import struct
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
        return not (special or private or self.vr == "SQ")

    @property
    def tells(self) -> bool:
        """Whether its value is needed before anything can be decided."""
        return self.kind is not None or self.tag in FACTS


class Plain(NamedTuple):
    """The head of an element that is nothing special, in the form that is read fastest."""

    head: Head
    tag: int
    long: bool
    tells: bool
    private: bool


PLAIN: dict[bytes, Plain] = {}
"""By the first six bytes in explicit VR."""
_MOST_PLAIN = 8192


@lru_cache(maxsize=8192)
def explicit_head(head: bytes) -> Head:
    """The head of an element in explicit VR, from its first six bytes."""
    group, element = _TAG(head)
    tag, vr = group << 16 | element, head[4:6]
    if tag == ITEM_END:
        return Head(tag, "", None, long=False)
    if vr not in _VRS or not 0x0008 <= group < 0xFFFE:
        raise Unsure
    long = vr in LONG_VRS
    if vr == b"UN":
        return resolved_head(tag, "", long=True)
    found = Head(tag, vr.decode(), kind_of(tag, vr.decode()), long)
    if found.is_plain and len(PLAIN) < _MOST_PLAIN:
        PLAIN[head] = Plain(found, tag, long, found.tells, found.private)
    return found


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
