"""DICOMDIR: which images a CD says it has (PS3.3 annex F). Only a listing, never imported."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shared.errors import Reason, Reject
from shared.header import EXPLICIT_BIG, IMPLICIT_LITTLE, read_meta
from shared.identity import is_usable_uid
from shared.walk import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Element, Walk, Window

MAX_LISTING = 64 << 20
"""Longest DICOMDIR that is read, bytes: several hundred per image."""
MAX_NAMED = 200_000
_RECORDS = 0x00041220  # DirectoryRecordSequence
_REFERENCED_FILE, _REFERENCED_UID = 0x00041500, 0x00041511
_LONGEST = 200  # a file id has at most eight components of eight characters, a UID 64
_DIRECTORY = b"1.2.840.10008.1.3.10"  # Media Storage Directory Storage (PS3.6 A)
_MEDIA_STORAGE_SOP_CLASS = b"\x02\0\x02\0UI"  # PS3.10 table 7.1-1, always explicit little endian


class ListingError(Exception):
    """The DICOMDIR can't be read."""


class Named(NamedTuple):
    """An image that a DICOMDIR names."""

    sop_uid: str
    path: str
    """Relative to the DICOMDIR, as it writes it."""


def is_listing(head: bytes) -> bool:
    """Whether the DICOM file that starts with `head` is a DICOMDIR."""
    place = head.find(_MEDIA_STORAGE_SOP_CLASS, 132)
    if place < 0:
        return False
    start = place + len(_MEDIA_STORAGE_SOP_CLASS) + 2
    length = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + length].strip(b" \0") == _DIRECTORY


def read_listing(path: Path) -> list[Named]:
    """The images that the DICOMDIR `path` names.

    Walks the raw records: as data sets, those of a large one take gigabytes of memory.

    Raises
    ------
    ListingError
        It can't be read, or is longer than any CD's.
    OSError
        The file can't be read.
    """
    if path.stat().st_size > MAX_LISTING:
        raise ListingError
    with path.open("rb") as file:
        window = Window(file.fileno(), path.stat().st_size)
        try:
            found = list(islice(_records(window), MAX_NAMED + 1))
        except Reject:
            raise ListingError from None
    if len(found) > MAX_NAMED:
        raise ListingError
    return found


def _records(window: Window) -> Iterator[Named]:
    syntax, position = read_meta(window)
    walk = Walk(window, implicit=syntax == IMPLICIT_LITTLE, big_endian=syntax == EXPLICIT_BIG)
    while position < window.size:
        tag, element = walk.element(position)
        if tag == _RECORDS:
            yield from _items(walk, element)
        position = walk.past_value(element)


def _items(walk: Walk, sequence: Element) -> Iterator[Named]:
    _, position, length = sequence
    end = walk.window.size if length == UNDEFINED else position + length
    while position < end:
        tag, item = walk.element(position)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            raise Reject(Reason.UNREADABLE, "no item")
        values, position = _values(walk, item)
        uid, path = values.get(_REFERENCED_UID, ""), values.get(_REFERENCED_FILE, "")
        if path and is_usable_uid(uid):
            yield Named(uid, path.replace("\\", "/"))


def _values(walk: Walk, item: Element) -> tuple[dict[int, str], int]:
    """What a record refers to, and where the next one starts."""
    _, position, length = item
    end = walk.window.size if length == UNDEFINED else position + length
    found: dict[int, str] = {}
    while position < end:
        tag, element = walk.element(position)
        _, offset, size = element
        if tag == ITEM_END:
            return found, offset
        if tag in (_REFERENCED_UID, _REFERENCED_FILE) and size <= _LONGEST:
            found[tag] = walk.window.bytes(offset, size).decode("latin-1").strip(" \0")
        position = walk.past_value(element)
    return found, position
