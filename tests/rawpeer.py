"""A sender that writes its own bytes, and a receiver whose inside can be looked at."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from services.receiver.acse import Caller, Rejection
from services.receiver.door import Door
from services.receiver.scp import StorageScp
from shared.dimse.messages import Service, encode
from shared.ledger import Ledger
from shared.pressure import Pressure
from shared.settings import Settings, embedded
from shared.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"

RQ, AC, RJ, DATA, RELEASE, RELEASED, ABORT = range(1, 8)

Proposal = tuple[int, str, Sequence[str]]
STORE_CT: tuple[Proposal, ...] = ((1, CT, [EXPLICIT]), (3, VERIFICATION, ["1.2.840.10008.1.2"]))


def request_pdu(
    proposals: Sequence[Proposal] = STORE_CT,
    *,
    called: str = "SLUSE",
    calling: str = "RAW",
    further: Sequence[Any] = (),
) -> bytes:
    """An A-ASSOCIATE-RQ PDU with `further` user information items."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    contexts = []
    for context_id, abstract, syntaxes in proposals:
        contexts.append(build_context(abstract, list(syntaxes)))
        contexts[-1].context_id = context_id
    primitive.presentation_context_definition_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    primitive.user_information = [length, implementation, *further]
    encoded: bytes = A_ASSOCIATE_RQ(primitive).encode()
    return encoded


def pdu(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack(">BxL", kind, len(body) if length is None else length) + body


def pdv(context_id: int, control: int, content: bytes, *, length: int | None = None) -> bytes:
    size = len(content) + 2 if length is None else length
    return struct.pack(">LBB", size, context_id, control) + content


def store_command(uid: str = "1.2.3", sop_class: str = CT, data_set: int = 1) -> bytes:
    return encode({2: sop_class, 0x100: 1, 0x110: 7, 0x700: 0, 0x800: data_set, 0x1000: uid})


def echo_command() -> bytes:
    return encode({2: VERIFICATION, 0x100: 0x30, 0x110: 9, 0x800: 0x101})


class RawPeer:
    """A connection on which anything can be said."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def associate(self, *proposals: Proposal, **how: Any) -> bytes:
        """Ask for an association; body of the A-ASSOCIATE-AC."""
        self.send(request_pdu(proposals or STORE_CT, **how))
        kind, body = self.receive()
        assert kind == AC, (kind, body)
        return body

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def say(self, control: int, content: bytes, context_id: int = 1) -> None:
        """One P-DATA-TF PDU of one PDV."""
        self.send(pdu(DATA, pdv(context_id, control, content)))

    def receive(self) -> tuple[int, bytes]:
        """The next PDU; type 0 when the connection is closed."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", head)
        return kind, self._exactly(length)

    def status(self) -> int:
        """Status of the DIMSE response that comes next."""
        kind, body = self.receive()
        assert kind == DATA, (kind, body)
        where = body.index(struct.pack("<HHL", 0, 0x900, 2)) + 8
        return int.from_bytes(body[where : where + 2], "little")

    def store(self, content: bytes, uid: str = "1.2.3", context_id: int = 1) -> int:
        self.say(3, store_command(uid), context_id)
        for start in range(0, max(len(content), 1), 100_000):
            last = 2 if start + 100_000 >= len(content) else 0
            self.say(last, content[start : start + 100_000], context_id)
        return self.status()

    def echo(self) -> int:
        self.say(3, echo_command(), 3)
        return self.status()

    def aborted(self) -> tuple[int, int]:
        """Source and reason of the A-ABORT that comes next."""
        kind, body = self.receive()
        assert kind == ABORT, (kind, body)
        return body[2], body[3]

    def release(self) -> None:
        self.send(pdu(RELEASE, bytes(4)))
        assert self.receive() == (RELEASED, bytes(4))

    def closed(self) -> bool:
        """Whether the receiver has closed the connection."""
        try:
            return self.receive()[0] == 0
        except (ConnectionResetError, ssl.SSLError):
            return True

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count and (part := self.socket.recv(count - len(parts))):
            parts += part
        return parts


class Receiver:
    """A `StorageScp` over a spool of its own; `stored` and `ended` are what it announces."""

    def __init__(self, settings: Settings, services: Sequence[Service] = ()) -> None:
        self.settings, self.ended, self._keys = settings, [], []  # type: ignore[var-annotated]
        self.refused: list[tuple[str, str]] = []
        self.spool = Spool(settings.spool_path)
        self.spool.prepare()
        door = Door("SLUSE", settings.peers, Ledger(settings))
        announcer: Any = self
        pressure = Pressure(settings)
        self.scp = StorageScp(
            settings, self.spool, announcer, pressure, door, self.refuse, services
        )
        self.port = self.scp.port

    def stored(self, _association_id: str, key: str) -> None:
        self._keys.append(key)

    def closed(self, association_id: str, _priority: object = None) -> None:
        self.ended.append(association_id)

    def refuse(self, caller: Caller, rejection: Rejection) -> None:
        self.refused.append((caller.calling_aet, rejection.outcome))

    @property
    def files(self) -> list[Path]:
        return [self.spool.path(key) for key in self._keys]

    @property
    def temporary(self) -> list[Path]:
        return list((self.settings.spool_path / "tmp").iterdir())

    def forget(self) -> None:
        self._keys.clear()
        self.ended.clear()

    def alive(self) -> None:
        """Assert that it serves a decent sender, and that nothing is left of the others."""
        with RawPeer(self.port) as peer:
            peer.associate()
            assert peer.echo() == 0
            peer.release()
        until(lambda: threads() == 0, "threads to end")
        assert self.temporary == []


@contextmanager
def receiver(folder: Path, services: Sequence[Service] = (), **knobs: object) -> Iterator[Receiver]:
    """A running receiver, impatient. It leaves no thread and no descriptor behind."""
    settings = embedded(
        folder, dicom_host="127.0.0.1", **({"artim_timeout": 1, "dicom_port": 0} | knobs)
    )
    before = descriptors()
    running = Receiver(settings, services)
    running.scp.start()
    try:
        yield running
    finally:
        running.scp.stop()
    until(lambda: threads() == 0, "threads to end")
    until(lambda: descriptors() <= before, "descriptors to be closed")


def threads() -> int:
    return sum(one.name == "dicom-association" for one in threading.enumerate())


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
