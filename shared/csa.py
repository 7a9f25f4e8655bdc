"""Reads Siemens CSA headers: (0029,xx10), (0029,xx20) of "SIEMENS CSA HEADER" and their kin.

Source of the layout: nibabel's description of the format ("Siemens format DICOM with CSA header"),
which follows SPM. A header is a count of tags; each tag has a name, a VR and items; each item has a
length, a value, and padding to 4 bytes. CSA2 begins with "SV10"; CSA1 has no mark, and its item
lengths are larger by the first tag's number of items. Always little endian, whatever the file is.
"""

import re
import struct
from functools import lru_cache
from typing import NamedTuple

_MAGIC = b"SV10"
_HEADER, _TAG, _ITEM = struct.Struct("<2I"), struct.Struct("<64si4s3i"), struct.Struct("<4i")
_LENGTH = struct.Struct("<i")
_MOST_TAGS, _MOST_ITEMS = 1000, 1000
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.:\[\] -]*")
_VR = re.compile(rb"[A-Z]{2}|\0\0|--")


class CsaItem(NamedTuple):
    """Where one item's value stands in a CSA header."""

    name: str
    vr: str
    offset: int
    length: int
    """Without the padding; never 0."""


class CsaTag(NamedTuple):
    """Where a tag stands in a CSA header, and its items that have a value."""

    name: str
    offset: int
    items: list[CsaItem]


class NotCsaError(ValueError):
    """The bytes are no CSA header, or a broken one."""


def csa_values(raw: bytes) -> dict[str, list[str]]:
    """The values by their tags' names, as texts: each up to its NUL, without the blanks around it.

    Tags without a value are left out.

    Raises
    ------
    NotCsaError
        See `csa_tags`.
    """
    found = {}
    for tag in csa_tags(raw):
        parts = [raw[item.offset : item.offset + item.length] for item in tag.items]
        values = [part.partition(b"\0")[0].decode("latin-1").strip() for part in parts]
        if any(values):
            found[tag.name] = values
    return found


def csa_tags(raw: bytes) -> list[CsaTag]:
    """The tags of a CSA header as they stand in `raw`.

    Raises
    ------
    NotCsaError
        The bytes are no complete CSA header of at most 1000 tags of 1000 items each.
    """
    try:
        if raw.startswith(_MAGIC):
            return _read(raw, 8, length_at=4, surplus=0)
        first_count = _TAG.unpack_from(raw, _HEADER.size)[4]
        try:
            return _read(raw, 0, length_at=0, surplus=first_count)
        except NotCsaError:
            # Some writers put the plain length into the second word.
            return _read(raw, 0, length_at=4, surplus=0)
    except struct.error:
        raise NotCsaError from None


def _read(raw: bytes, position: int, *, length_at: int, surplus: int) -> list[CsaTag]:
    end = len(raw)
    number, _ = _HEADER.unpack_from(raw, position)
    position += _HEADER.size
    if not 0 < number <= _MOST_TAGS:
        raise NotCsaError
    tags = []
    for _ in range(number):
        padded_name, _, padded_vr, _, count, _ = _TAG.unpack_from(raw, position)
        name, vr = _words(padded_name, padded_vr)
        if not 0 <= count <= _MOST_ITEMS:
            raise NotCsaError
        tag = CsaTag(name, position, [])
        tags.append(tag)
        position += _TAG.size
        for left in range(count - 1, -1, -1):
            length = _LENGTH.unpack_from(raw, position + length_at)[0] - surplus
            position += _ITEM.size
            if length == 0:
                if raw.startswith(raw[position - _ITEM.size : position] * left, position):
                    position += _ITEM.size * left  # usually all that follow are empty
                    break
                continue
            if length < 0 < surplus:
                break  # CSA1 writes no more items of this tag
            if not 0 < length <= end - position:
                raise NotCsaError
            tag.items.append(CsaItem(name, vr, position, length))
            # Some writers leave the last item's padding out.
            position = min(position + length + -length % 4, end)
        if position > end:
            raise NotCsaError
    return tags


@lru_cache(maxsize=4096)
def _words(padded_name: bytes, padded_vr: bytes) -> tuple[str, str]:
    name = padded_name.partition(b"\0")[0]
    if not (_NAME.fullmatch(name) and _VR.match(padded_vr)):
        raise NotCsaError
    return name.decode("ascii"), padded_vr[:2].decode("ascii")
