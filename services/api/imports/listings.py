"""DICOMDIR: which images a CD says it has (PS3.3 annex F). Only a listing, never imported."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset, dcmread

MAX_LISTING = 64 << 20
"""Longest DICOMDIR that is read, bytes: several hundred per image."""
MAX_NAMED = 200_000
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

    Raises
    ------
    ListingError
        It can't be read, or is longer than any CD's.
    """
    if path.stat().st_size > MAX_LISTING:
        raise ListingError
    try:
        found = list(_named(dcmread(path)))
    except Exception:  # whatever the library stumbles over; its text may quote names
        raise ListingError from None
    if len(found) > MAX_NAMED:
        raise ListingError
    return found


def _named(listing: Dataset) -> Iterator[Named]:
    for record in listing.get("DirectoryRecordSequence") or []:
        parts = record.get("ReferencedFileID")
        uid = str(record.get("ReferencedSOPInstanceUIDInFile") or "")
        if parts and uid:
            name = parts if isinstance(parts, str) else "/".join(map(str, parts))
            yield Named(uid[:64], name)
