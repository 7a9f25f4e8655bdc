"""What is in an uploaded file: itself, or what a ZIP holds. Knows neither ledger nor HTTP."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

from services.api.imports.archives import (
    Archive,
    ArchiveError,
    Content,
    Member,
    is_archive,
)
from services.api.imports.looking import HEAD, Found, look_at, not_dicom, verdict
from shared.disk import disk_trouble
from shared.errors import Reason, Retry
from shared.importing import Kind, Why, label
from shared.settings import Settings
from shared.spool import Spool
from shared.staging import Staging

_PIECE = 1 << 20


class File(NamedTuple):
    """An uploaded file."""

    id: int
    path: str
    """Its label."""
    size: int


class Contents:
    """Looks into the files of one import; used by one thread at a time.

    Parameters
    ----------
    unpacked
        Bytes that were taken out of the import's ZIPs before.
    """

    def __init__(self, settings: Settings, spool: Spool, staging: Staging, unpacked: int) -> None:
        self._spool, self._staging = spool, staging
        self._room = settings.import_max_bytes - unpacked
        self._max_entries = settings.import_max_files
        self._max_size = settings.stow_max_instance
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End soon, from another thread: `of` raises then, and is repeated some other time."""
        self._stopped.set()

    def of(self, file: File) -> list[Found]:
        """What is in a file. Images in a ZIP are unpacked, synced, when this returns.

        Raises
        ------
        Retry
            The disk is full or broken, the file is gone, or `stop` was called.
        """
        self._go_on()
        if file.size == 0:
            return [not_dicom(file.path, Why.EMPTY, 0)]
        path = self._staging.uploaded(file.id)
        with disk_trouble():
            with path.open("rb") as opened:
                head = opened.read(HEAD)
            if is_archive(head, file.path):
                return self._archive(file)
            why = verdict(head)
            if why is not None:
                return [not_dicom(file.path, why, file.size)]
            return look_at(path, file.path, self._max_size)

    def _archive(self, file: File) -> list[Found]:
        path = self._staging.uploaded(file.id)
        try:
            archive = Archive(path, self._max_entries, self._room)
        except ArchiveError as error:
            return [Found(label(file.path), Kind.REFUSED, error.why, file.size)]
        try:
            if archive.size > self._spool.free():
                raise Retry(Reason.DISK_FULL)
            return [one for member in archive.members() for one in self._of(archive, file, member)]
        finally:
            archive.close()

    def _of(self, archive: Archive, file: File, member: Member) -> Iterator[Found]:
        self._go_on()
        name = f"{file.path}: {member.name}"
        try:
            if member.why is not None:
                raise ArchiveError(member.why)
            with archive.opened(member) as content:
                head = content.read(HEAD)
                if is_archive(head, member.name):
                    raise ArchiveError(Why.ARCHIVE_NESTED)
                why = verdict(head)
                if why is not None:
                    yield not_dicom(name, why, member.size, member.number)
                    return
                self._unpack(file, member, head, content)
        except ArchiveError as error:
            yield Found(label(name), Kind.REFUSED, error.why, member.size, member.number)
            return
        path = self._staging.unpacked(file.id, member.number)
        self._room -= member.size
        yield from look_at(path, name, self._max_size, member.number)

    def _unpack(self, file: File, member: Member, head: bytes, content: Content) -> None:
        with self._staging.unpacking(file.id, member.number) as target:
            target.write(head)
            while piece := content.read(_PIECE):
                self._go_on()
                target.write(piece)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Retry(Reason.UNEXPECTED, "stopped")
