"""PDUs as they come off the socket (PS3.8 9.3): headers are read, data is handed on uncopied."""

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from time import monotonic

BUFFER = 1 << 18
"""Bytes read ahead per association. More was not faster, and costs memory for each."""
PROGRESS = 4096
"""Bytes that must arrive within the time-out while something is under way."""

_ROOM = 1 << 16  # read on into what is left of the buffer, down to this much
_PDU = struct.Struct(">BxL")
_PDV = struct.Struct(">LBB")
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class PduType(IntEnum):
    """PS3.8 9.3.1."""

    A_ASSOCIATE_RQ = 1
    A_ASSOCIATE_AC = 2
    A_ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    A_RELEASE_RQ = 5
    A_RELEASE_RP = 6
    A_ABORT = 7


class Abort(Exception):
    """We end the association with an A-ABORT (PS3.8 9.3.8).

    Parameters
    ----------
    why
        For the log.
    """

    source = 0  # the service user
    reason = 0

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ProviderAbort(Abort):
    """The peer broke PS3.8 (table 9-26)."""

    source = 2
    UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 1, 2, 6

    def __init__(self, why: str, reason: int) -> None:
        super().__init__(why)
        self.reason = reason


class Silence(Abort):
    """Nothing came for too long, or next to nothing."""


class Lost(Exception):
    """The connection is gone (Evt17)."""


class Wire:
    """Reads from and writes to a socket, plain or TLS. One thread reads and writes.

    A peer is given up when it is silent for `timeout` seconds, and also when it has begun to say
    something and fewer than `PROGRESS` bytes come in `timeout` seconds. So one that dribbles is
    gone after at most twice that time.

    Parameters
    ----------
    timeout
        Seconds.
    """

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._socket = connection
        self._view = memoryview(bytearray(BUFFER))
        self._start = self._end = 0  # what was received and not yet taken
        self._began: float | None = None
        self._arrived = 0
        self.before_reuse: Callable[[], None] = lambda: None
        """Called when what `some` has given is about to be overwritten."""
        self.wait_at_most(timeout)

    def wait_at_most(self, timeout: float) -> None:
        """Set the time-out, and start it anew."""
        self._timeout = timeout
        self._socket.settimeout(timeout)
        self.rest()

    def rest(self) -> None:
        """Nothing is under way: the peer may be silent for the whole time-out."""
        self._began, self._arrived = None, 0
        if self._start == self._end:
            self._start = self._end = 0  # that part of the buffer is still in the cache

    def pdu(self) -> tuple[int, int]:
        """Type and length of the next PDU."""
        self._need(_PDU.size)
        kind, length = _PDU.unpack_from(self._view, self._start)
        self._start += _PDU.size
        return kind, length

    def pdv(self) -> tuple[int, int, int]:
        """Length, presentation context id and message control header of the next PDV."""
        self._need(_PDV.size)
        found: tuple[int, int, int] = _PDV.unpack_from(self._view, self._start)
        self._start += _PDV.size
        return found

    def some(self, most: int) -> memoryview:
        """What is there, at least one and at most `most` bytes; valid until `before_reuse`."""
        if self._start == self._end:
            self._receive()
        start = self._start
        self._start = min(self._end, start + most)
        return self._view[start : self._start]

    def all(self, length: int) -> bytes:
        """The next `length` bytes, for what is known to be small."""
        parts = []
        while length:
            parts.append(bytes(self.some(length)))
            length -= len(parts[-1])
        return b"".join(parts)

    def send(self, *pdus: bytes) -> None:
        """Send PDUs.

        Raises
        ------
        Lost
            The peer does not take them.
        """
        try:
            self._socket.sendall(b"".join(pdus))
        except OSError as error:
            raise Lost from error

    def is_quiet(self) -> bool:
        """Whether nothing has come that was not taken; an end of the connection is something."""
        pending = getattr(self._socket, "pending", lambda: 0)  # of TLS
        if self._start != self._end or pending():
            return False
        return not select.select([self._socket], [], [], 0)[0]

    def await_end(self, seconds: float) -> None:
        """Read on, and forget, until the peer closes the connection or the time is over."""
        end = monotonic() + seconds
        with suppress(OSError):
            while (left := end - monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv_into(self._view):
                    return

    def _need(self, count: int) -> None:
        while self._end - self._start < count:
            self._receive()

    def _receive(self) -> None:
        if BUFFER - self._end < _ROOM:
            self._make_room()
        if _QUICKACK is not None:
            # A sender under Nagle's algorithm waits for our acknowledgement 40 ms per image.
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        try:
            count = self._socket.recv_into(self._view[self._end :])
        except TimeoutError:
            raise Silence("silent for too long") from None
        except OSError as error:  # TLS errors are among them
            raise Lost from error
        if not count:
            raise Lost
        self._end += count
        self._watch(count)

    def _make_room(self) -> None:
        self.before_reuse()
        left = self._end - self._start
        self._view[:left] = self._view[self._start : self._end]
        self._start, self._end = 0, left

    def _watch(self, count: int) -> None:
        now = monotonic()
        if self._began is None:
            self._began = now
        elif now - self._began > self._timeout:
            if self._arrived < PROGRESS:
                raise Silence("too slow to be working")
            self._began, self._arrived = now, 0
        self._arrived += count


def abort_pdu(abort: Abort) -> bytes:
    """A-ABORT PDU (PS3.8 9.3.8)."""
    return _PDU.pack(PduType.A_ABORT, 4) + bytes((0, 0, abort.source, abort.reason))


def release_pdu() -> bytes:
    """A-RELEASE-RP PDU (PS3.8 9.3.7)."""
    return _PDU.pack(PduType.A_RELEASE_RP, 4) + bytes(4)


def data_pdus(context_id: int, control: int, content: bytes, longest: int) -> bytes:
    """P-DATA-TF PDUs of one PDV each, none longer than `longest`; 0 is no limit (PS3.8 D.1).

    Parameters
    ----------
    control
        Message control header without its second bit (PS3.8 E.2): 1 command, 0 data set.
    """
    step = (longest or 1 << 16) - _PDV.size
    pdus: list[bytes] = []
    for start in range(0, max(len(content), 1), step):
        part = content[start : start + step]
        last = 2 if start + step >= len(content) else 0
        pdus += (
            _PDU.pack(PduType.P_DATA_TF, len(part) + _PDV.size),
            _PDV.pack(len(part) + 2, context_id, control | last),
            part,
        )
    return b"".join(pdus)
