"""Siemens CSA headers: (0029,xx10), (0029,xx20) of "SIEMENS CSA HEADER" and their kin.

Source of the layout: nibabel's description of the format ("Siemens format DICOM with CSA header"),
which follows SPM. A header is a count of tags; each tag has a name, a VR and items; each item has a
length, a value, and padding to 4 bytes. CSA2 begins with "SV10"; CSA1 has no mark, and its item
lengths are larger by the first tag's number of items.
"""

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import re2

from services.anonymizer.engine.tokens import Tokens
from services.anonymizer.engine.xprotocol import overwrite_personal, overwritten

_MAGIC = b"SV10"
_HEADER, _TAG, _ITEM = struct.Struct("<2I"), struct.Struct("<64si4s3i"), struct.Struct("<4i")
_LENGTH = struct.Struct("<i")
_MOST_TAGS, _MOST_ITEMS = 1000, 1000
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.:\[\] -]*")
_VR = re.compile(rb"[A-Z]{2}|\0\0|--")
_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})

_MEASURED = re.compile(
    r"B_value|B_matrix|Diffusion.*|Slice.*|Mosaic.*|NumberOf.*|Time.*|PhaseEncoding.*|Bandwidth.*"
    r"|RBMoCo.*|Rows|Columns|PixelSpacing|Image(?:Pos|Orient).*|(?:Echo|Repetition|Inversion)Time"
    r"|FlipAngle|ImagingFrequency|.*TablePosition|RealDwellTime|.*Number|Echo.*Position"
)
"""Numbers by which images are put together, even where an identifier happens to equal one."""
_PERSONAL_NAMES = (
    r"(?:Patients?(?:Name|ID|LOID|Address|Birth[A-Za-z]*|Comments?)|Physicians?(?:Name|Of[A-Za-z]*)?"
    r"|Operators?(?:Name)?|Institution(?:Name|Address|alDepartmentName)|Hospital(?:Name)?"
    r"|StationName|AccessionNumber|StudyID|SerialNumber|UserName|HostName|(?:Study|Series)LOID)"
)
_PERSONAL = re.compile(rf"[A-Za-z]*{_PERSONAL_NAMES}")
"""Persons, ids, institutions and devices. Such values go whole, whatever they are."""
_PERSONAL_TAG = re2.compile(rf"{_PERSONAL_NAMES}\x00".encode())
_NUMBER = re.compile(rb"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_LONG_WHOLE = re.compile(rb"\s*[0-9]{6,}\s*")


class CsaItem(NamedTuple):
    """Where one item's value stands in a CSA header."""

    name: str
    vr: str
    offset: int
    length: int
    """Without the padding; never 0."""


class NotCsaError(ValueError):
    """The bytes are no CSA header, or a broken one."""


class _Tag(NamedTuple):
    name: str
    offset: int
    items: list[CsaItem]


def csa_items(raw: bytes) -> Iterator[CsaItem]:
    """The items of a CSA header that have a value, as they stand in `raw`.

    Raises
    ------
    NotCsaError
        The bytes are no complete CSA header of at most 1000 tags of 1000 items each.
    """
    for tag in _tags(raw):
        yield from tag.items


def _tags(raw: bytes) -> list[_Tag]:
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


def _read(raw: bytes, position: int, *, length_at: int, surplus: int) -> list[_Tag]:
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
        tag = _Tag(name, position, [])
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


def clean_csa(raw: bytes, tokens: Tokens) -> bytes:
    """`raw` with the values of a CSA header cleaned in place, its length unchanged.

    Measurements are not touched; other numbers stay numbers; values that are personal by their
    name are overwritten, within the measurement protocol too. Everything else, what stands between
    the values included, is cleaned as any bytes are. So is, as a whole, what is no CSA header.
    """
    swept = overwrite_personal(tokens.clean_bytes(raw))
    # A UID is never a number nor a tag's name: where no more has changed, nothing can be wrong.
    if _PERSONAL_TAG.search(raw) is None and swept in (raw, tokens.with_uids(raw)):
        return swept
    try:
        tags = _tags(raw)
    except NotCsaError:
        return swept
    cleaned = bytearray(swept)
    for tag in tags:
        # A person may be called as a tag is.
        cleaned[tag.offset : tag.offset + len(tag.name)] = tag.name.encode("ascii")
        personal = _is_personal(tag.name)
        for item in tag.items:
            span = slice(item.offset, item.offset + item.length)
            if personal:
                cleaned[span] = _hidden(raw[span])
            elif raw[span] != swept[span]:
                cleaned[span] = _value(item, raw[span], swept[span])
    return bytes(cleaned)


@lru_cache(maxsize=4096)
def _is_personal(name: str) -> bool:
    return _PERSONAL.fullmatch(name) is not None


def _hidden(value: bytes) -> bytes:
    is_number = _NUMBER.fullmatch(value.partition(b"\0")[0])
    return overwritten(value, b"0" if is_number else b"X")


def _value(item: CsaItem, value: bytes, swept: bytes) -> bytes:
    text = value.partition(b"\0")[0]
    if _NUMBER.fullmatch(text) and (item.vr in _NUMBER_VRS or _MEASURED.fullmatch(item.name)):
        return _number(item, text, swept)
    return swept


def _number(item: CsaItem, text: bytes, swept: bytes) -> bytes:
    """A number that is still one; behind it, memory that was never cleared may say anything."""
    new, behind = swept[: len(text)], swept[len(text) :]
    if _MEASURED.fullmatch(item.name) or not _LONG_WHOLE.fullmatch(text):
        return text + behind
    return (new if _NUMBER.fullmatch(new) else b"0" * len(text)) + behind
