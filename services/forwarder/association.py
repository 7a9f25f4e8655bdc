"""One open association as Storage SCU: files go out as they are, nothing is decoded (PS3.4 B)."""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from services.forwarder.outcome import Answer, Verdict, away, of_response
from shared.dimse import messages
from shared.dimse.messages import Command
from shared.dimse.pdu import Abort, Lost, PduType, ProviderAbort, Silence, abort_pdu, data_pdus
from shared.dimse.requestor import Accepted, Opened, read_response, release
from shared.errors import Reason

_PDU, _PDV = struct.Struct(">BxLLBB"), struct.Struct(">LBB")
_CHUNK = 1 << 19  # bytes of a file that are read at a time
_LONGEST_PDU = 1 << 17  # more brings nothing, and some peers allocate what they are promised
_SHORTEST_PDU = 64  # bytes; less than that is a fault, and would go on for ever
_PIECES = 512  # buffers of one sendmsg(2); the kernel takes 1,024


class Association:
    """An open association. Used by one thread."""

    def __init__(self, opened: Opened) -> None:
        self._wire, self._socket = opened.wire, opened.socket
        self.accepted = opened.accepted
        longest = opened.longest_pdu or _LONGEST_PDU
        self._step = max(min(longest, _LONGEST_PDU), _SHORTEST_PDU) - _PDV.size
        self._longest = opened.longest_pdu
        self._buffer = memoryview(bytearray(_CHUNK))
        self._message_id = 0
        self.open = True
        """Whether more can be sent over it."""

    def store(self, path: Path, sop_class: str, sop_instance: str, context: Accepted) -> Answer:
        """Send a file's data set (C-STORE); what the peer says.

        Parameters
        ----------
        path
            A Part 10 file in the context's transfer syntax.
        """
        try:
            with path.open("rb", buffering=0) as file:
                start = data_set_start(file)
                if start is None:
                    return Answer(Verdict.REJECT, Reason.UNREADABLE, "not a DICOM file")
                size = os.fstat(file.fileno()).st_size - start
                return self._exchange(file, size, sop_class, sop_instance, context.context_id)
        except FileNotFoundError:
            return Answer(Verdict.RETRY, Reason.SPOOL_FILE_MISSING)

    def release(self) -> None:
        """End it (A-RELEASE); an answer is waited for only shortly."""
        if not self.open:
            return
        self.open = False
        release(self._wire)
        self._socket.close()

    def _exchange(
        self, file: BinaryIO, size: int, sop_class: str, sop_instance: str, context_id: int
    ) -> Answer:
        self._message_id = self._message_id % 0xFFFF + 1
        command = messages.encode(
            {
                messages.AFFECTED_SOP_CLASS_UID: sop_class,
                messages.COMMAND_FIELD: messages.C_STORE_RQ,
                messages.MESSAGE_ID: self._message_id,
                messages.PRIORITY: 0,
                messages.COMMAND_DATA_SET_TYPE: 1,
                messages.AFFECTED_SOP_INSTANCE_UID: sop_instance,
            }
        )
        try:
            self._wire.rest()
            self._wire.send(data_pdus(context_id, 1, command, self._longest))
            self._send(file, size, context_id)
            return self._answer()
        except Lost:
            return self._broken("the connection broke off")
        except Silence:
            return self._broken("no answer")
        except Abort as abort:
            return self._broken(abort.why, abort)
        except OSError as error:  # of the disk; what was begun can't be ended
            self._broken("", Abort("the file can't be read"))
            return Answer(Verdict.RETRY, Reason.DISK_TROUBLE, error.strerror or "")

    def _send(self, file: BinaryIO, size: int, context_id: int) -> None:
        """Send the data set in P-DATA-TF PDUs of one PDV each (PS3.8 annex E)."""
        left, step = size, self._step
        most = max(len(self._buffer) // step, 1)
        if step > len(self._buffer):
            step = len(self._buffer)
        while left or not size:
            wanted = min(left, step * most)
            view = self._buffer[:wanted]
            _fill(file, view)
            pieces: list[bytes | memoryview] = []
            for start in range(0, max(wanted, 1), step):
                part = view[start : start + step]
                left -= len(part)
                # Message control header: bit 1 says that it is the last fragment (PS3.8 E.2).
                head = _PDU.pack(
                    PduType.P_DATA_TF, len(part) + 6, len(part) + 2, context_id, 0 if left else 2
                )
                pieces += (head, part)
            self._send_all(pieces)
            if not size:
                return

    def _send_all(self, pieces: list[bytes | memoryview]) -> None:
        if not hasattr(self._socket, "context"):
            for start in range(0, len(pieces), _PIECES):
                self._gather(pieces[start : start + _PIECES])
            return
        self._wire.send(*(bytes(piece) for piece in pieces))  # TLS gathers nothing

    def _gather(self, pieces: list[bytes | memoryview]) -> None:
        try:
            sent = self._socket.sendmsg(pieces)
            rest = sum(map(len, pieces)) - sent
            while rest:
                while sent >= len(pieces[0]):
                    sent -= len(pieces.pop(0))
                pieces[0] = memoryview(pieces[0])[sent:]
                sent = self._socket.sendmsg(pieces)
                rest -= sent
        except OSError as error:
            raise Lost from error

    def _answer(self) -> Answer:
        """The response to what was sent last."""
        self._wire.rest()
        response = Command(read_response(self._wire))
        about = response.answers()
        if about != (messages.C_STORE_RQ, self._message_id):
            raise ProviderAbort("the answer is to something else", ProviderAbort.INVALID_PARAMETER)
        return of_response(response)

    def _broken(self, why: str, abort: Abort | None = None) -> Answer:
        self.open = False
        with suppress(Lost):  # it may not be there to be told
            self._wire.send(abort_pdu(abort or Abort(why)))
        self._socket.close()
        return away(why)


def data_set_start(file: BinaryIO) -> int | None:
    """Where the data set begins in a Part 10 file (PS3.10 7.1); None if it is none."""
    head = file.read(144)
    if head[128:136] != b"DICM\x02\x00\x00\x00" or head[136:140] != b"UL\x04\x00":
        return None
    start = 144 + int.from_bytes(head[140:144], "little")
    if start > os.fstat(file.fileno()).st_size:
        return None
    file.seek(start)
    return start


def _fill(file: BinaryIO, view: memoryview) -> None:
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise OSError(0, "the file ends too early")
        view = view[count:]
