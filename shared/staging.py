"""The folder of one import in the spool: what a browser has sent, before it is looked at."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shared.disk import disk_trouble, make_folder, sync_folder
from shared.errors import Reason, Retry


class BusyError(Exception):
    """Somebody else is writing this file at this moment."""


class Staging:
    """The folder `folder`, as `Spool.staging` has it. Files in it go by numbers, never by names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Make the folder.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        with disk_trouble():
            make_folder(self._folder)

    def uploaded(self, number: int) -> Path:
        """Where the uploaded file `number` lies."""
        return self._folder / f"{number:d}"

    def unpacked(self, number: int, member: int) -> Path:
        """Where an archive's member lies; the file itself where `member` is 0."""
        return self._folder / f"{number:d}.{member:d}" if member else self.uploaded(number)

    @contextmanager
    def appending(self, number: int, offset: int) -> Iterator[BinaryIO]:
        """An uploaded file to write on, by nobody else meanwhile, on any host.

        `cut` brings it to `offset`, which must lie in it; `settle` makes durable what is written.

        Raises
        ------
        BusyError
            Somebody else is writing it.
        Retry
            The disk is full or broken, or the file or its folder is gone.
        """
        path = self.uploaded(number)
        with disk_trouble():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            with os.fdopen(descriptor, "r+b") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise BusyError from None
                if os.fstat(descriptor).st_size < offset:
                    raise Retry(Reason.SPOOL_FILE_MISSING)  # else there would be a hole in it
                yield file

    def cut(self, file: BinaryIO, offset: int) -> None:
        """Cut off what stands behind `offset`, and go on there.

        Raises
        ------
        Retry
            The disk is broken.
        """
        with disk_trouble():
            file.seek(offset)
            file.truncate()

    def settle(self, file: BinaryIO) -> None:
        """Make durable what was written on an uploaded file, and its name.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        with disk_trouble():
            file.flush()
            os.fdatasync(file.fileno())
            sync_folder(self._folder)

    @contextmanager
    def unpacking(self, number: int, member: int) -> Iterator[BinaryIO]:
        """A member's file to write, durable when the block ends; none on an exception.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        path = self.unpacked(number, member)
        with disk_trouble():
            try:
                with path.open("wb") as file:
                    yield file
                    file.flush()
                    os.fdatasync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def drop(self, number: int, member: int = 0) -> None:
        """Remove a file; one that is gone already is fine."""
        with suppress(FileNotFoundError):
            self.unpacked(number, member).unlink()

    def remove(self) -> None:
        """Remove the folder with all that is in it; whatever resists is left to the next time."""
        shutil.rmtree(self._folder, ignore_errors=True)
