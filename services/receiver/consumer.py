"""What one association brings: each data set into the inbox, synced, before it is answered for."""

import uuid
from io import BytesIO

from pynetdicom.dsutils import create_file_meta, encode_file_meta

from services.receiver.announcer import Announcer
from shared import telemetry
from shared.clock import now
from shared.errors import Reason, Retry
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_usable_uid
from shared.spool import Association, Spool

log = telemetry.logger("receiver")

# PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
INVALID_SOP_INSTANCE = 0x0117
OUT_OF_RESOURCES = 0xA700


class Intake:
    """One association, from its first image to its end. Used by that association's thread only."""

    def __init__(self, spool: Spool, announcer: Announcer, sender: Association) -> None:
        self.id = uuid.uuid4().hex
        self._spool, self._announcer, self._sender = spool, announcer, sender
        self._count = 0

    def store(self, sop_class: str, sop_instance: str, syntax: str, data_set: BytesIO) -> int:
        """Write one data set, as it came, as a Part 10 file.

        Returns
        -------
        The C-STORE status (PS3.4 B.2.3).
        """
        if not is_usable_uid(sop_instance):
            return answer(INVALID_SOP_INSTANCE)
        meta = create_file_meta(
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
            transfer_syntax=syntax,
            implementation_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version=IMPLEMENTATION_VERSION_NAME,
        )
        key = self._spool.inbox_key(self.id, self._count + 1)
        try:
            if self._count == 0:
                self._spool.write_association(self.id, self._sender)
            with self._spool.writing(key) as file:
                file.write(bytes(128) + b"DICM" + encode_file_meta(meta))
                file.write(data_set.getbuffer())
        except Retry as error:
            log.error("image refused", association=self.id, reason=error.reason)
            full = error.reason is Reason.DISK_FULL
            return answer(OUT_OF_RESOURCES if full else PROCESSING_FAILURE)
        self._count += 1
        telemetry.BYTES_RECEIVED.inc(data_set.getbuffer().nbytes)
        self._announcer.stored(self.id, key)
        return answer(SUCCESS)

    def close(self, *, completed: bool) -> None:
        """Note how the association ended. What it brought before it broke off is kept and used."""
        telemetry.ASSOCIATIONS.labels("released" if completed else "aborted").inc()
        if self._count == 0:
            return
        log.info("association ended", association=self.id, images=self._count, completed=completed)
        ended = self._sender.model_copy(update={"closed_at": now(), "completed": completed})
        try:
            self._spool.write_association(self.id, ended)
        except Retry as error:
            log.error("end of association not noted", association=self.id, reason=error.reason)
        self._announcer.closed(self.id)


def answer(status: int) -> int:
    """Count an answer to a C-STORE."""
    telemetry.INSTANCES.labels("receiver", f"{status:#06x}").inc()
    return status
