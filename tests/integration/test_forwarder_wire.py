"""What the forwarder's own loop puts on the wire, and what it makes of peers that misbehave."""

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt

from demo.phantoms import Maker
from services.forwarder import rest
from services.forwarder.dimse import DimseSender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.transcoding import Transcoder
from services.receiver.acse import Request
from shared.dimse import messages
from shared.dimse.messages import encode
from shared.dimse.pdu import data_pdus
from shared.errors import Reason
from shared.settings import Settings, embedded
from shared.spool import Spool
from tests.certificates import Authority
from tests.corpus import read
from tests.servers.common import free_port, missing, wait_for
from tests.servers.orthanc import Orthanc

CT = "1.2.840.10008.5.1.4.1.1.2"
_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}


@pytest.fixture
def quick(tmp_path: Path) -> Settings:
    return embedded(tmp_path / "data", network_timeout=0.6, association_idle=5)


def parcels(folder: Path, count: int = 3, size: int = 64) -> list[Parcel]:
    found = []
    for number, image in enumerate(Maker(1, size=size).ct(count).instances, start=1):
        path = folder / f"{number}.dcm"
        pydicom.dcmwrite(path, image, enforce_file_format=True)
        found.append(Parcel(number, path, CT, image.SOPInstanceUID, str(ExplicitVRLittleEndian)))
    return found


def send(settings: Settings, port: int, some: list[Parcel], **treatment: Any) -> list[Answer]:
    transcoder = Transcoder(settings)
    place = {"destination_id": 1, "ae_title": "PACS", "host": "127.0.0.1", "port": port}
    sender = DimseSender(settings, Peer(**(place | treatment)), transcoder)
    try:
        answers = sender.send(some)
    finally:
        sender.release()
        transcoder.close()
    return [answers[one.delivery_id] for one in some]


@contextmanager
def storescp(folder: Path, *options: str | Path) -> Iterator[int]:
    """dcmtk's receiver, bit by bit; its port."""
    if shutil.which("storescp") is None:
        missing("dcmtk's storescp", "dcmtk")
    port = free_port()
    process = subprocess.Popen(
        ["storescp", "--aetitle", "PACS", "--output-directory", str(folder), "--bit-preserving",
         *map(str, options), str(port)],
        env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: _listens(port), "storescp")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def data_set(path: Path) -> bytes:
    """The data set of a Part 10 file, byte by byte."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


@pytest.mark.parametrize("longest", [4096, 16384, 131072])
def test_dcmtk_gets_the_very_bytes(quick: Settings, tmp_path: Path, longest: int) -> None:
    got = tmp_path / "got"
    got.mkdir()
    some = parcels(tmp_path, size=256)
    with storescp(got, "--max-pdu", str(longest)) as port:
        answers = send(quick, port, some)
    assert {one.verdict for one in answers} == {Verdict.DONE}
    stored = {read(path).SOPInstanceUID: path for path in got.iterdir()}
    for one in some:
        assert data_set(stored[one.sop_instance_uid]) == data_set(one.path)


def test_orthanc_takes_large_and_small(
    quick: Settings, tmp_path: Path, research_pacs: Orthanc
) -> None:
    some = parcels(tmp_path, count=1, size=16)
    image = read(some[0].path)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    image.Rows = image.Columns = 1500
    image.PixelData = os.urandom(1500 * 1500 * 2)
    large = tmp_path / "large.dcm"
    pydicom.dcmwrite(large, image, enforce_file_format=True)
    some = [some[0], Parcel(9, large, CT, "1.2.3.4.5", str(ExplicitVRLittleEndian))]
    port, title = research_pacs.dicom_port, research_pacs.ae_title
    answers = send(quick, port, some, ae_title=title)
    assert {one.verdict for one in answers} == {Verdict.DONE}
    (found,) = research_pacs.find_instances(SOPInstanceUID="1.2.3.4.5")
    assert read_bytes(research_pacs, found["ID"]) == image.PixelData


def read_bytes(pacs: Orthanc, orthanc_id: str) -> bytes:
    return bytes(pydicom.dcmread(BytesIO(pacs.file(orthanc_id))).PixelData)


@pytest.mark.parametrize("mutual", [False, True])
def test_dicom_over_tls(tmp_path: Path, quick: Settings, mutual: bool) -> None:
    authority = Authority(tmp_path, "hospital")
    theirs, ours = authority.issue("pacs"), authority.issue("sluse")
    got = tmp_path / "got"
    got.mkdir()
    options = ["+tls", theirs.key, theirs.certificate, "+cf", authority.certificate]
    knobs = {"pacs_tls_ca": authority.certificate}
    if mutual:
        knobs |= {"pacs_tls_certificate": ours.certificate, "pacs_tls_key": ours.key}
    else:
        options.append("-ic")
    settings = quick.model_copy(update=knobs)
    some = parcels(tmp_path)
    with storescp(got, *options) as port:
        assert {one.verdict for one in send(settings, port, some, tls=True)} == {Verdict.DONE}
        assert len(list(got.iterdir())) == len(some)
        stranger = Authority(tmp_path, "stranger")
        distrusting = settings.model_copy(update={"pacs_tls_ca": stranger.certificate})
        (answer, *_) = send(distrusting, port, some, tls=True)
        assert answer.reason is Reason.DESTINATION_AWAY
        assert answer.detail == "TLS failed: CERTIFICATE_VERIFY_FAILED"
        (answer, *_) = send(settings, port, some)  # without TLS
        assert answer.verdict is Verdict.RETRY
    missing_file = settings.model_copy(update={"pacs_tls_ca": tmp_path / "none.pem"})
    (answer, *_) = send(missing_file, port, some, tls=True)
    assert answer.detail == "Sluse's own certificates can't be used: No such file or directory"


Conversation = Callable[[socket.socket], None]


@contextmanager
def peer(after: Conversation, *, longest: int = 16384) -> Iterator[int]:
    """Accepts any association, reads a first data set, and then does what it is told; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(5)
                kind, length = struct.unpack(">BxL", _exactly(connection, 6))
                pdu = struct.pack(">BxL", kind, length) + _exactly(connection, length)
                connection.sendall(Request(pdu, "").accept(longest)[0])
                after(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()
        thread.join()


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise OSError
        content += part
    return content


def _read_message(connection: socket.socket) -> int:
    """Read a command and its data set; the message id."""
    message_id, ended = 0, 0
    while ended < 2:
        _, length = struct.unpack(">BxL", _exactly(connection, 6))
        content = _exactly(connection, length)
        control = content[5]
        if control & 1:
            message_id = messages.Command(content[6:]).message_id
        ended += bool(control & 2)
    return message_id


def _response(message_id: int, status: int = 0, **changes: int) -> bytes:
    elements: dict[int, int | str] = {
        messages.COMMAND_FIELD: changes.get("field", 0x8001),
        messages.MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        messages.COMMAND_DATA_SET_TYPE: 0x0101, messages.STATUS: status,
    }  # fmt: skip
    return data_pdus(1, 1, encode(elements), 16384)


def silent(connection: socket.socket) -> None:
    _read_message(connection)
    time.sleep(1.5)


def dribbling(connection: socket.socket) -> None:
    for byte in _response(_read_message(connection)):
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def hanging_up(connection: socket.socket) -> None:
    _exactly(connection, 300)


def aborting(connection: socket.socket) -> None:
    _read_message(connection)
    connection.sendall(bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0)))
    connection.recv(1)


def releasing(connection: socket.socket) -> None:
    _read_message(connection)
    connection.sendall(bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
    connection.recv(10)


def babbling(connection: socket.socket) -> None:
    _read_message(connection)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def endless(connection: socket.socket) -> None:
    _read_message(connection)
    fragment = struct.pack(">BxLLBB", 4, 4006, 4002, 1, 1) + bytes(4000)
    with suppress(OSError):
        for _ in range(100):
            connection.sendall(fragment)


def mistaken(connection: socket.socket) -> None:
    connection.sendall(_response(_read_message(connection) + 1))
    connection.recv(10)


def another_service(connection: socket.socket) -> None:
    connection.sendall(_response(_read_message(connection), field=0x8030))
    connection.recv(10)


def rubbish_inside(connection: socket.socket) -> None:
    _read_message(connection)
    connection.sendall(data_pdus(1, 1, b"\xff" * 50, 16384))
    connection.recv(10)


def wrong_length(connection: socket.socket) -> None:
    _read_message(connection)
    connection.sendall(struct.pack(">BxLLBB", 4, 20, 400, 1, 3) + bytes(14))
    connection.recv(10)


@pytest.mark.parametrize(
    "behaviour",
    [silent, dribbling, hanging_up, aborting, releasing, babbling, endless, mistaken,
     another_service, rubbish_inside, wrong_length],
)  # fmt: skip
def test_a_peer_that_misbehaves_makes_images_wait(
    quick: Settings, tmp_path: Path, behaviour: Conversation
) -> None:
    began = time.monotonic()
    with peer(behaviour) as port:
        (answer,) = send(quick, port, parcels(tmp_path, 1))
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, Reason.DESTINATION_AWAY)
    assert answer.detail
    assert time.monotonic() - began < 6


def test_after_a_break_the_others_go_over_a_new_association(
    quick: Settings, tmp_path: Path
) -> None:
    got: list[str] = []

    def store(event: evt.Event) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))
        if len(got) == 2:
            event.assoc.abort()
        return 0x0000

    entity = AE("PACS")
    entity.add_supported_context(CT, [ExplicitVRLittleEndian])
    server = entity.start_server(("127.0.0.1", 0), block=False,
                                 evt_handlers=[(evt.EVT_C_STORE, store)])  # fmt: skip
    try:
        some = parcels(tmp_path, 4)
        answers = send(quick, server.server_address[1], some)
    finally:
        entity.shutdown()
    assert [one.verdict for one in answers] == [
        Verdict.DONE, Verdict.RETRY, Verdict.DONE, Verdict.DONE
    ]  # fmt: skip
    assert got == [one.sop_instance_uid for one in some]


def test_what_is_no_image_or_gone_stops_nobody(quick: Settings, tmp_path: Path) -> None:
    got = tmp_path / "got"
    got.mkdir()
    some = parcels(tmp_path, 4)
    some[0].path.write_bytes(b"nothing")
    some[1].path.write_bytes(bytes(128) + b"DICM\x02\0\0\0UL\x04\0\xff\xff\xff\x7f")
    some[2].path.unlink()
    with storescp(got) as port:
        answers = send(quick, port, some)
    assert [one.reason for one in answers] == [
        Reason.UNREADABLE, Reason.UNREADABLE, Reason.SPOOL_FILE_MISSING, None
    ]  # fmt: skip
    assert len(list(got.iterdir())) == 1


def test_an_answer_that_is_no_association_says_so(quick: Settings, tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)

    thread = threading.Thread(target=serve)
    thread.start()
    (answer,) = send(quick, listening.getsockname()[1], parcels(tmp_path, 1))
    thread.join()
    listening.close()
    assert answer.verdict is Verdict.RETRY and "no association" in answer.detail


def test_a_peer_that_hangs_is_not_waited_for_image_by_image(
    quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_SLOW", 0.1)
    transcoder = Transcoder(quick)
    with peer(silent) as port:
        sender = DimseSender(quick, Peer(1, "PACS", "127.0.0.1", port), transcoder)
        began = time.monotonic()
        answers = sender.send(parcels(tmp_path, 20))
        assert {(one.verdict, one.detail) for one in answers.values()} == {
            (Verdict.RETRY, "no answer")
        }
        # For a while nobody knocks any more.
        assert set(sender.send(parcels(tmp_path, 2)).values()) == set(answers.values())
        assert time.monotonic() - began < 2
    sender.release()
    transcoder.close()


def test_many_kinds_that_are_all_refused_as_they_are_go_in_another_form(
    quick: Settings, tmp_path: Path
) -> None:
    """More contexts than an association holds: those for the other form must be proposed too."""
    kinds = [str(one.abstract_syntax) for one in AllStoragePresentationContexts[:70]]
    (one,) = parcels(tmp_path, 1, size=16)
    some = [Parcel(number, one.path, kind, f"1.2.{number}", str(ExplicitVRLittleEndian))
            for number, kind in enumerate(kinds)]  # fmt: skip
    entity = AE("PACS")
    for kind in kinds:
        entity.add_supported_context(kind, [ImplicitVRLittleEndian])
    server = entity.start_server(("127.0.0.1", 0), block=False,
                                 evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)])  # fmt: skip
    patient = quick.model_copy(update={"network_timeout": 20, "instance_timeout": 20})
    Spool(patient.spool_path).prepare()
    try:
        answers = send(patient, server.server_address[1], some)
    finally:
        entity.shutdown()
    assert {one.verdict for one in answers} == {Verdict.DONE}
