"""ZIPs: which members they have, and their bytes, within bounds.

The names in a ZIP are shown and never used as paths, so that no name can lead anywhere.
"""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from services.anonymizer.standalone.outcomes import Trouble

MAX_MEMBERS = 1_000_000
MAX_MEMBER_BYTES = 8 << 30
MAX_GROWTH = 200
"""How many times its own size a ZIP may hold: images shrink to a half or a tenth, masks further."""
_ALWAYS_FINE = 4 << 30
_ENCRYPTED = 0x1  # APPNOTE.TXT 4.4.4, general purpose bit flag


class ZipTrouble(Exception):
    """A ZIP, or a member of it, that is not read."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


def member_names(path: Path) -> list[tuple[int, str]]:
    """Numbers and names of the files in the ZIP `path`.

    Raises
    ------
    ZipTrouble
        It can't be read, or holds more than such a file can.
    """
    with _trouble(), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size = path.stat().st_size
    if len(members) > MAX_MEMBERS:
        raise ZipTrouble(Trouble.ZIP_TOO_LARGE)
    # More packed bytes than the file has: members share them, as they do in bombs.
    if sum(one.compress_size for one in members) > size:
        raise ZipTrouble(Trouble.ZIP_TOO_LARGE)
    if sum(one.file_size for one in members) > max(MAX_GROWTH * size, _ALWAYS_FINE):
        raise ZipTrouble(Trouble.ZIP_TOO_LARGE)
    return [(number, one.filename) for number, one in enumerate(members) if not one.is_dir()]


def read_head(path: Path, member: int, count: int) -> bytes:
    """The first `count` bytes of a member.

    Raises
    ------
    ZipTrouble
        It can't be read.
    """
    with _opened(path, member) as file:
        return file.read(count)


def copy_member(path: Path, member: int, target: BinaryIO) -> None:
    """Write a member's bytes to `target`.

    Raises
    ------
    ZipTrouble
        It can't be read.
    OSError
        `target` can't be written.
    """
    with _opened(path, member) as file:
        shutil.copyfileobj(file, target, 1 << 20)


@contextmanager
def _opened(path: Path, member: int) -> Iterator[BinaryIO]:
    with _trouble():
        archive = _archive(path)
        info = archive.infolist()[member]
        if info.flag_bits & _ENCRYPTED:
            raise ZipTrouble(Trouble.ZIP_LOCKED)
        if info.file_size > MAX_MEMBER_BYTES:
            raise ZipTrouble(Trouble.ZIP_TOO_LARGE)
        with archive.open(info) as file:
            yield file  # type: ignore[misc]  # reads as a binary file, and no more than declared


@lru_cache(maxsize=4)
def _archive(path: Path) -> zipfile.ZipFile:
    # Read once by each process: the list of members is as long as the ZIP is large.
    return zipfile.ZipFile(path)


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except (ZipTrouble, OSError):
        raise
    except Exception:
        # Whatever the library stumbles over in a hostile file; its text may quote names.
        raise ZipTrouble(Trouble.ZIP_UNREADABLE) from None
