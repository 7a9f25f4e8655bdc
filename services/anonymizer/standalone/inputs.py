"""Which files there are to look at: single ones, those in folders, those in ZIPs."""

import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.anonymizer.standalone import zips
from services.anonymizer.standalone.outcomes import Skip, Trouble

HEAD_BYTES = 1024
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_APPLE_DOUBLE = b"\0\x05\x16\x07"  # the `._name` files of macOS
_DICOMDIR_CLASS = b"1.2.840.10008.1.3.10"  # Media Storage Directory Storage (PS3.6 A)
_MEDIA_STORAGE_SOP_CLASS = b"\x02\0\x02\0UI"  # PS3.10 table 7.1-1, always explicit little endian
_DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", ".dc3")

Identity = tuple[int, int]
"""Device and inode: what a file or folder is, by whatever name it was reached."""


@dataclass(frozen=True)
class Input:
    """One file to look at, or a member of a ZIP."""

    path: Path
    name: str
    """How people are told of it: no control characters, whatever the file is called."""
    member: int | None = None
    """Its number in the ZIP `path`."""
    verdict: Trouble | Skip | None = None
    """What is known of it without opening it."""


def printable(name: str | Path) -> str:
    """A file's name as it can be shown: neither undecodable bytes nor terminal codes in it."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def look_up(paths: Iterable[Path], leave_out: Path | None = None) -> Iterator[Input]:
    """All files at and below `paths`, in a fixed order.

    Links are followed; a folder that was entered before, by whatever name, is not entered again.

    Parameters
    ----------
    leave_out
        A folder that is not entered.
    """
    seen: set[Identity] = set()
    if leave_out is not None and leave_out.exists():
        seen.add(_identity(leave_out.stat()))
    for path in paths:
        yield from _below(path, seen)


def _below(start: Path, seen: set[Identity]) -> Iterator[Input]:
    waiting = [start]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                if _identity(status) not in seen:
                    seen.add(_identity(status))
                    waiting.extend(sorted(path.iterdir(), reverse=True))
                continue
        except (OSError, RuntimeError):  # denied, a broken link, a link to itself
            yield Input(path, printable(path), verdict=Trouble.UNREADABLE_FILE)
            continue
        if not stat.S_ISREG(status.st_mode):
            # To open a pipe or a device could wait for ever.
            yield Input(path, printable(path), verdict=Skip.NOT_DICOM)
        elif _is_zip(path, named=path == start):
            yield from _members(path)
        else:
            yield Input(path, printable(path))


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _is_zip(path: Path, *, named: bool) -> bool:
    # Office documents are ZIPs too: in folders only what is called one is opened.
    if path.suffix.lower() == ".zip":
        return True
    if not named:
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) in _ZIP_MAGIC
    except OSError:
        return False


def _members(path: Path) -> Iterator[Input]:
    shown = printable(path)
    try:
        names = zips.member_names(path)
    except zips.ZipTrouble as error:
        yield Input(path, shown, verdict=error.trouble)
        return
    except OSError:
        yield Input(path, shown, verdict=Trouble.UNREADABLE_FILE)
        return
    for number, name in names:
        yield Input(path, f"{shown}: {printable(name)}", member=number)


def verdict_on(head: bytes, source: Input) -> Trouble | Skip | None:
    """What the first `HEAD_BYTES` of a file say about it; None for what may be an image."""
    if head[128:132] == b"DICM":
        return Skip.DICOMDIR if _is_directory(head) else None
    if head.startswith(_APPLE_DOUBLE):
        return Skip.NOT_DICOM
    if source.member is not None and head.startswith(_ZIP_MAGIC):
        return Trouble.ZIP_INSIDE
    if _starts_like_a_data_set(head) or source.name.lower().endswith(_DICOM_SUFFIXES):
        return None  # the engine says what is wrong with it
    return Skip.NOT_DICOM


def _is_directory(head: bytes) -> bool:
    place = head.find(_MEDIA_STORAGE_SOP_CLASS, 132)
    if place < 0:
        return False
    start = place + len(_MEDIA_STORAGE_SOP_CLASS) + 2
    length = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + length].strip(b" \0") == _DICOMDIR_CLASS


def _starts_like_a_data_set(head: bytes) -> bool:
    """Whether a data set without preamble starts here, as in old archives and ACR-NEMA files."""
    if len(head) < 8:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    for form in ("<HHL", ">HHL"):
        group, element, length = struct.unpack_from(form, head)
        if group in (2, 8) and element <= 0x18 and (explicit or length < 256):
            return True
    return False
