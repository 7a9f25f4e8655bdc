"""What one STOW-RS request brings: each part into the inbox, synced, before it is answered for."""

import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from services.api.dicomweb import media
from services.api.dicomweb.outcomes import (
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OTHER_STUDY,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    Identity,
    Outcomes,
)
from services.api.dicomweb.parts import BrokenError
from shared import telemetry
from shared.clock import now
from shared.errors import Reason, Reject, Retry
from shared.header import read_header
from shared.identity import is_usable_uid
from shared.pressure import Pressure
from shared.settings import Settings
from shared.spool import Association, Spool, disk_trouble

log = telemetry.logger("api")

MOST_PARTS = 100_000
_UIDS = (0x0020000D, 0x00080016, 0x00080018, 0x0020000E)  # as in `Identity`


class _Refused(Exception):
    """Leaves the block that writes a file, so that it never appears."""


class Intake:
    """One request, from its first part to its end; a `Sink`, used by one thread at a time.

    Parameters
    ----------
    study
        The only study whose instances are taken; None for any.
    withdrawn
        Studies that are never taken again.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        pressure: Pressure,
        sender: Association,
        study: str | None,
        withdrawn: frozenset[str],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.outcomes = Outcomes()
        self.unannounced: list[str] = []
        """Keys of files that nobody has been told of."""
        self._spool, self._sender, self._study, self._withdrawn = spool, sender, study, withdrawn
        self._pressure = pressure
        self._limit = settings.stow_max_instance
        self._count, self._parts, self._size = 0, 0, 0
        self._block: AbstractContextManager[BinaryIO] | None = None
        self._file: BinaryIO | None = None

    def begin(self, content_type: str) -> None:
        self._parts, self._size = self._parts + 1, 0
        if self._parts > MOST_PARTS:
            self._too_large()
            raise BrokenError
        if content_type and media.parse(content_type).name != media.DICOM:
            self._answer(NOT_UNDERSTOOD)
        else:
            self._open()

    def write(self, data: memoryview) -> None:
        if self._file is None:
            return  # a part that has failed already
        self._size += len(data)
        if self._size > self._limit:
            self._discard()
            self._too_large()
            return
        try:
            with disk_trouble():
                self._file.write(data)
        except Retry as error:
            self._discard()
            self._trouble(error, None)

    def end(self) -> None:
        if self._file is None or self._block is None:
            return
        identity = None
        try:
            with disk_trouble():
                self._file.flush()
                identity, refusal = self._look(Path(self._file.name))
            if refusal is not None:
                self._discard()
                self._answer(refusal, identity)
                return
            block, self._block, self._file = self._block, None, None
            block.__exit__(None, None, None)
        except Retry as error:
            self._discard()
            self._trouble(error, identity)
            return
        self._count += 1
        self.unannounced.append(self._spool.inbox_key(self.id, self._count))
        telemetry.BYTES_RECEIVED.inc(self._size)
        assert identity is not None
        self._answer(0, identity)

    def break_off(self) -> None:
        """The body ended too early: what is complete stays, what is not goes."""
        self.outcomes.broken = True
        if self._file is not None:
            self._discard()
            self._answer(PROCESSING_FAILURE)

    def exceed(self) -> None:
        """The request is longer than requests may be."""
        self._discard()
        self._too_large()

    def close(self, *, completed: bool) -> bool:
        """Note how the request ended; False where it brought nothing."""
        self._discard()
        telemetry.ASSOCIATIONS.labels("stow" if completed else "stow-broken-off").inc()
        if self._count == 0:
            return False
        log.info("request ended", association=self.id, images=self._count, completed=completed)
        ended = self._sender.model_copy(update={"closed_at": now(), "completed": completed})
        try:
            self._spool.write_association(self.id, ended)
        except Retry as error:
            log.error("end of request not noted", association=self.id, reason=error.reason)
        return True

    def _open(self) -> None:
        if self._pressure.against_images() is not None:
            self._answer(OUT_OF_RESOURCES)
            return
        try:
            if self._count == 0:
                self._spool.write_association(self.id, self._sender)
            block = self._spool.writing(self._spool.inbox_key(self.id, self._count + 1))
            self._file, self._block = block.__enter__(), block
        except Retry as error:
            self._trouble(error, None)

    def _look(self, path: Path) -> tuple[Identity | None, int | None]:
        """Which instance the file is, and why it is not taken; None where it is."""
        try:
            header = read_header(path)
        except Reject:
            return None, NOT_UNDERSTOOD
        uids = [header.text(tag) or "" for tag in _UIDS]
        if not all(map(is_usable_uid, uids)):
            return None, NOT_UNDERSTOOD
        identity = Identity(*uids)
        if identity.study in self._withdrawn:
            return identity, NOT_AUTHORISED
        if self._study not in (None, identity.study):
            return identity, OTHER_STUDY
        return identity, None

    def _discard(self) -> None:
        """Give up the file that is being written, if there is one."""
        block, self._block, self._file = self._block, None, None
        if block is not None:
            try:
                block.__exit__(_Refused, _Refused(), None)
            except (_Refused, Retry):
                return

    def _too_large(self) -> None:
        self.outcomes.too_large = True
        self._answer(OUT_OF_RESOURCES)

    def _trouble(self, error: Retry, identity: Identity | None) -> None:
        log.error("image refused", association=self.id, reason=error.reason)
        full = error.reason is Reason.DISK_FULL
        self._answer(OUT_OF_RESOURCES if full else PROCESSING_FAILURE, identity)

    def _answer(self, status: int, identity: Identity | None = None) -> None:
        telemetry.INSTANCES.labels("stow", f"{status:#06x}").inc()
        if status:
            self.outcomes.fail(status, identity)
        elif identity is not None:
            self.outcomes.stored.append(identity)
