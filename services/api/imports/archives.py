"""ZIPs: what is in them, within bounds, whatever they say of themselves.

The names in a ZIP are shown and never used as paths, so that no name can lead anywhere.
"""

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.importing import Why

MAX_DIRECTORY = 16 << 20
"""Longest table of contents that is read, bytes: enough for some 100,000 names."""
MAX_GROWTH = 200
"""How many times its own size a ZIP may hold: images shrink to a half or a tenth, masks further."""
ALWAYS_FINE = 4 << 30
"""What any ZIP may hold, bytes: one that is small has little to multiply."""
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x41  # APPNOTE.TXT 4.4.4, general purpose bits 0 and 6
# LZMA may ask for gigabytes of memory before the first byte comes.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_OUTSIDE = re.compile(r"[\\/]|[A-Za-z]:|(?:.*[\\/])?\.\.(?:[\\/].*)?$", re.DOTALL)


class ArchiveError(Exception):
    """A ZIP, or a member of it, that is not read."""

    def __init__(self, why: Why) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(frozen=True)
class Member:
    """A file in a ZIP."""

    number: int
    """From 1."""
    name: str
    size: int
    why: Why | None
    """Why it is not opened; None where it may be."""


class Content:
    """A member that is being read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end; never more in all than the ZIP declares.

        Raises
        ------
        ArchiveError
            They can't be read.
        """
        with _trouble():
            return self._file.read(count)


class _Bounded(io.FileIO):
    """The ZIP's own file: nobody reads an endless table of contents out of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        if wanted > MAX_DIRECTORY:
            raise ArchiveError(Why.ARCHIVE_TOO_LARGE)
        found = super().read(wanted if wanted >= 0 else MAX_DIRECTORY + 1)
        if wanted < 0 and len(found) > MAX_DIRECTORY:
            raise ArchiveError(Why.ARCHIVE_TOO_LARGE)
        return found


def is_archive(head: bytes, label: str) -> bool:
    """Whether a file is a ZIP that was meant as one: office documents are ZIPs too."""
    name = label.rpartition("/")[2]
    return head.startswith(_MAGIC) and (name.lower().endswith(".zip") or "." not in name)


class Archive:
    """The ZIP `path`, open.

    Parameters
    ----------
    max_entries
        Most members.
    room
        Bytes that they may have in all.

    Raises
    ------
    ArchiveError
        It can't be read, or holds more than such a file can, or than may be.
    """

    def __init__(self, path: Path, max_entries: int, room: int) -> None:
        size = path.stat().st_size
        self._file = _Bounded(path, "rb")
        try:
            with _trouble():
                self._archive = zipfile.ZipFile(self._file)
            self._check(size, max_entries, room)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._archive.close()
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes that its members have in all."""
        return sum(one.file_size for one in self._archive.infolist())

    def members(self) -> list[Member]:
        """Its files, in order; folders are left out."""
        return [
            Member(number, one.filename, one.file_size, _objection(one))
            for number, one in enumerate(self._archive.infolist(), start=1)
            if not one.is_dir()
        ]

    @contextmanager
    def opened(self, member: Member) -> Iterator[Content]:
        """A member to read.

        Raises
        ------
        ArchiveError
            It can't be read.
        """
        with _trouble():
            file = self._archive.open(self._archive.infolist()[member.number - 1])
        with file:
            yield Content(file)

    def _check(self, size: int, max_entries: int, room: int) -> None:
        members = self._archive.infolist()
        # More packed bytes than the file has: members share them, as they do in bombs.
        packed = sum(one.compress_size for one in members)
        most = min(room, max(MAX_GROWTH * size, ALWAYS_FINE))
        if len(members) > max_entries or packed > size or self.size > most:
            raise ArchiveError(Why.ARCHIVE_TOO_LARGE)


def _objection(info: zipfile.ZipInfo) -> Why | None:
    if _OUTSIDE.match(info.filename) or "\0" in info.orig_filename:
        return Why.UNSAFE_PATH
    if stat.S_ISLNK(info.external_attr >> 16):
        return Why.LINK
    if info.flag_bits & _ENCRYPTED:
        return Why.ENCRYPTED
    if info.compress_type not in _COMPRESSIONS:
        return Why.COMPRESSION
    return None


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except ArchiveError:
        raise
    except Exception:
        # Whatever the library stumbles over in a hostile file, senseless places in it included.
        raise ArchiveError(Why.ARCHIVE_UNREADABLE) from None
