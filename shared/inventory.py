"""Every file of the spool by its name, for those who look at all of it: backups, the doctor.

A name is what stands below the spool's folder, such as `received/<study>/<series>.json`: spool keys
and the documents beside the images. `tmp/` is left out: nothing in it has been answered for.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from shared.disk import disk_trouble, make_folder, sync_folder

ROOMS = ("inbox", "received", "quarantine", "released", "imports")
_NAME = re.compile(rf"(?:{'|'.join(ROOMS)})(?:/[0-9A-Za-z_-][0-9A-Za-z._-]*){{1,4}}")


class Found(NamedTuple):
    """A file of the spool."""

    name: str
    size: int
    modified_ns: int
    inode: int


class Inventory:
    """What is in the spool below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        """The file called `name`.

        Raises
        ------
        ValueError
            No file of a spool is called so.
        """
        if len(name) > 300 or _NAME.fullmatch(name) is None:
            # The name itself may be hostile text: it stays out of the message.
            raise ValueError("not a spool key")
        return self._root / name

    def files(self, *rooms: str) -> Iterator[Found]:
        """All files, or those of some rooms, in the order of their names.

        What is removed meanwhile may be among them or not.
        """
        for room in rooms or ROOMS:
            yield from self._below(room)

    def folders(self, room: str) -> list[str]:
        """The folders in a room: studies, transfers, associations."""
        with suppress(FileNotFoundError), os.scandir(self._root / room) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return []

    def in_folder(self, room: str, folder: str) -> list[Found]:
        """The files below one folder of a room."""
        return list(self._below(f"{room}/{folder}"))

    def strangers(self) -> int:
        """How many files there are whose names are none of Sluse's."""
        return sum(1 for one in self.files() if _NAME.fullmatch(one.name) is None)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            return None

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no file has."""
        return [name for name in names if not self.path(name).exists()]

    def rename(self, old: str, new: str) -> bool:
        """Give a file another name, durably; False if it is gone.

        At any moment it has one of the two, and never both: whoever finds it under the new one may
        remove it there.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        source, target = self.path(old), self.path(new)
        with disk_trouble():
            make_folder(target.parent)
            try:
                source.rename(target)
            except FileNotFoundError:
                return False
            sync_folder(target.parent)
            sync_folder(source.parent)
        return True

    def remove(self, names: Iterable[str]) -> int:
        """Remove files; how many there were."""
        removed = 0
        with disk_trouble():
            for name in names:
                with suppress(FileNotFoundError):
                    self.path(name).unlink()
                    removed += 1
        return removed

    def clock(self) -> float:
        """The time by the spool's own clock (epoch), which may be a file server's."""
        probe = self._root / "tmp" / f"clock-{os.getpid()}-{time.monotonic_ns()}"
        with disk_trouble():
            probe.touch(exist_ok=False)
            try:
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)

    def open_to_others(self) -> bool:
        """Whether everybody on the machine may look into the spool."""
        return bool(self._root.stat().st_mode & 0o007)

    def _below(self, name: str) -> Iterator[Found]:
        try:
            with os.scandir(self._root / name) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in inside:
            inner = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(inner)
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Found(inner, status.st_size, status.st_mtime_ns, status.st_ino)
