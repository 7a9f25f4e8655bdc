"""What a disk can do to us, and how to make it remember."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import Reason, Retry


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Turn what a disk can do to us into `Retry`: it is nobody's image's fault."""
    try:
        yield
    except OSError as error:
        raise as_retry(error) from error


def as_retry(error: OSError) -> Retry:
    """What `error` means to a handler."""
    if isinstance(error, FileNotFoundError):
        return Retry(Reason.SPOOL_FILE_MISSING)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = Reason.DISK_FULL if full else Reason.DISK_TROUBLE
    return Retry(reason, errno.errorcode.get(error.errno or 0, ""))


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents, each durable in its own parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def sync_file(file: Path) -> None:
    """Make the content of `file` durable."""
    with _opened(file, os.O_RDONLY) as descriptor:
        os.fdatasync(descriptor)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
