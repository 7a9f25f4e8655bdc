"""What one association brings: each data set into the inbox as it arrives, before it is answered.

A data set is never decoded and never held in memory. What the command says of it goes into the
file's meta information; what the data set says of itself is the classifier's business.
"""

import struct
import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from services.receiver.announcer import Announcer
from services.receiver.sinks import Dropped, Sink
from shared import telemetry
from shared.arriving import Arriving
from shared.clock import now
from shared.dimse.messages import (
    INVALID_SOP_INSTANCE,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    Answer,
)
from shared.errors import Reason, Retry
from shared.faults import Point, reach
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_usable_uid
from shared.pressure import Pressure
from shared.settings import Durability
from shared.spool import Association, Spool

log = telemetry.logger("receiver")


class Intake:
    """One association, from its first image to its end. Used by that association's thread only."""

    def __init__(
        self,
        spool: Spool,
        announcer: Announcer,
        pressure: Pressure,
        sender: Association,
        durability: Durability,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._spool, self._announcer, self._sender = spool, announcer, sender
        self._pressure = pressure
        self._synced = durability is Durability.INSTANCE
        self._count = 0

    def begin(self, sop_class: str, sop_instance: str, syntax: str) -> Sink:
        """Be ready for the data set of a C-STORE request."""
        if not is_usable_uid(sop_instance):
            return Refused(INVALID_SOP_INSTANCE, "SOP Instance UID is not a UID")
        if self._pressure.against_images() is not None:
            return Refused(OUT_OF_RESOURCES, "The disk is nearly full. Send again later.")
        try:
            if self._count == 0:
                self._spool.write_association(self.id, self._sender)
            key = self._spool.inbox_key(self.id, self._count + 1)
            file = self._spool.arriving(key, synced=self._synced)
            file.write([head(sop_class, sop_instance, syntax)])
        except Retry as error:
            return self.refuse(error)
        return _Image(self, key, file)

    def refuse(self, error: Retry) -> "Refused":
        """Log that the disk did not take an image, and drop what comes of it."""
        log.error("image refused", association=self.id, reason=error.reason)
        if error.reason is Reason.DISK_FULL:
            return Refused(OUT_OF_RESOURCES, "The disk is full. Send again later.")
        return Refused(PROCESSING_FAILURE, "The disk reports an error. Send again later.")

    def stored(self, key: str, size: int) -> Answer:
        """A file is in the inbox."""
        self._count += 1
        telemetry.BYTES_RECEIVED.inc(size)
        self._announcer.stored(self.id, key)
        return counted(Answer(SUCCESS))

    def close(self, *, completed: bool) -> None:
        """Note how the association ended. What it brought before it broke off is kept and used."""
        telemetry.ASSOCIATIONS.labels("released" if completed else "aborted").inc()
        if self._count == 0:
            with suppress(OSError):  # the reconciler finds it
                self._spool.forget_association(self.id)
            return
        log.info("association ended", association=self.id, images=self._count, completed=completed)
        ended = self._sender.model_copy(update={"closed_at": now(), "completed": completed})
        try:
            self._spool.write_association(self.id, ended)
        except Retry as error:
            log.error("end of association not noted", association=self.id, reason=error.reason)
        reach(Point.RECEIVER_ENDED)
        self._announcer.closed(self.id, self._sender.priority)


class _Image:
    """An image on its way into the inbox."""

    def __init__(self, intake: Intake, key: str, file: Arriving) -> None:
        self._intake, self._key, self._file = intake, key, file
        self._head = file.size
        self._refused: Refused | None = None

    def write(self, parts: Sequence[memoryview]) -> None:
        if self._refused:
            return
        try:
            self._file.write(parts)
        except Retry as error:
            # The association goes on: the rest of this data set is read and dropped.
            self._refused = self._intake.refuse(error)

    def finish(self) -> Answer | None:
        if self._refused is None:
            reach(Point.RECEIVER_WRITTEN)
            try:
                self._file.keep()
            except Retry as error:
                self._refused = self._intake.refuse(error)
            else:
                reach(Point.RECEIVER_KEPT)
                return self._intake.stored(self._key, self._file.size - self._head)
        return self._refused.finish()

    def cancel(self) -> None:
        self._file.drop()


class Refused(Dropped):
    """An image that is read and dropped."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(Answer(status, comment))

    def finish(self) -> Answer | None:
        answer = super().finish()
        return answer and counted(answer)


def counted(answer: Answer) -> Answer:
    """Count an answer to a C-STORE."""
    telemetry.INSTANCES.labels("receiver", f"{answer.status:#06x}").inc()
    return answer


_SHORT = struct.Struct("<HH2sH")  # group, element, VR, length
_VERSION = struct.pack("<HH2s2xL2s", 2, 1, b"OB", 2, b"\0\1")


def head(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """What stands before the data set in a file: preamble and meta information (PS3.10 7.1)."""
    before, after = _around(sop_class, syntax)
    meta = before + _text(0x0003, b"UI", sop_instance) + after
    return bytes(128) + b"DICM" + _SHORT.pack(2, 0, b"UL", 4) + struct.pack("<L", len(meta)) + meta


@lru_cache(256)
def _around(sop_class: str, syntax: str) -> tuple[bytes, bytes]:
    """Meta information before and after the SOP Instance UID: the same for a whole series."""
    return (
        _VERSION + _text(0x0002, b"UI", sop_class),
        _text(0x0010, b"UI", syntax)
        + _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
    )


def _text(element: int, vr: bytes, value: str) -> bytes:
    raw = value.encode("ascii")
    raw += (b" " if vr == b"SH" else b"\0") * (len(raw) % 2)
    return _SHORT.pack(2, element, vr, len(raw)) + raw
