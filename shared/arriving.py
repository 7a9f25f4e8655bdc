"""A file of the spool that is written piece by piece, as it comes off the network."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shared.disk import disk_trouble, make_folder, sync_folder

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

Parts = Sequence[bytes | memoryview]


class Arriving:
    """Written under a temporary name until `keep`. Every way out of it but `keep` is `drop`.

    Parameters
    ----------
    temporary, target
        Paths, as `Spool.arriving` makes them. Texts: building a `Path` costs as much as writing.
    synced
        `keep` makes content and name durable.
    """

    def __init__(self, temporary: str, target: str, *, synced: bool) -> None:
        self._temporary, self._target, self._synced = temporary, target, synced
        self.size = 0
        """Bytes written so far."""
        with disk_trouble():
            self._descriptor = os.open(temporary, _FLAGS, 0o666)
        self._open = True

    def write(self, parts: Parts) -> None:
        """Append `parts`, at most 1024 of them (IOV_MAX).

        Raises
        ------
        Retry
            The disk is full or broken. The file is dropped.
        """
        try:
            with disk_trouble():
                written, size = os.writev(self._descriptor, parts), sum(map(len, parts))
                if written < size:
                    self._write_rest(b"".join(parts)[written:])
                self.size += size
        except BaseException:
            self.drop()
            raise

    def keep(self) -> None:
        """Let the file appear under its name.

        Raises
        ------
        Retry
            The disk is full or broken. The file is dropped.
        """
        try:
            with disk_trouble():
                if self._synced:
                    os.fdatasync(self._descriptor)
                self._close()
                self._rename()
        except BaseException:
            self.drop()
            raise
        if self._synced:
            with disk_trouble():
                sync_folder(Path(self._target).parent)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._close()
        with suppress(OSError):  # gone, or left to `Spool.sweep_temporary`
            Path(self._temporary).unlink()

    def _rename(self) -> None:
        try:
            os.replace(self._temporary, self._target)  # noqa: PTH105
        except FileNotFoundError:
            make_folder(Path(self._target).parent)
            os.replace(self._temporary, self._target)  # noqa: PTH105

    def _write_rest(self, rest: bytes) -> None:
        # A disk that fills up takes a part first, and says so the next time.
        left = memoryview(rest)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)
