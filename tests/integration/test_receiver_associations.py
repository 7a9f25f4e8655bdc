"""What is negotiated, how many may come at once, and what is plugged in beside storage."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import _STORAGE_CLASSES

from demo.phantoms import Maker
from shared.dimse.messages import Answer, Channel, Message, Service, encode, response
from shared.errors import Reason
from shared.events import InstanceReceived
from shared.ledger.tables import Instance, Quarantine
from shared.runtime import Runtime
from tests.corpus import read
from tests.helpers import handle, received_consumer, rows
from tests.rawpeer import (
    AC,
    CT,
    EXPLICIT,
    RJ,
    VERIFICATION,
    RawPeer,
    Receiver,
    pdu,
    receiver,
    request_pdu,
    until,
)
from tests.servers import dcmtk
from tests.servers.orthanc import Orthanc
from tests.wire import association, encoded, store_raw

IMPLICIT, JPEG, HTJ2K = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.202",
)  # fmt: skip
COMMITMENT = "1.2.840.10008.1.20.1"
CALLS: list[Message] = []


def commit(message: Message, channel: Channel) -> Answer | None:
    """A service with a bit of everything: it answers, reports later, takes the report's answer."""
    CALLS.append(message)
    if message.command.field & 0x8000:
        return None
    if message.data_set == b"broken!!":
        raise RuntimeError("Nordmann^Kari")
    channel.send(message.context_id, response(message.command, Answer(0)))
    report = {2: COMMITMENT, 0x100: 0x100, 0x110: 1, 0x800: 1, 0x1000: "1.2", 0x1002: 1}
    channel.send(message.context_id, encode(report), message.data_set)
    return None


SERVICE = Service(COMMITMENT, {0x0130: commit, 0x8100: commit}, longest=100_000)


@pytest.fixture(scope="module")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    folder = tmp_path_factory.mktemp("associations")
    with receiver(
        folder, [SERVICE], max_associations=130, max_associations_per_peer=120
    ) as running:
        yield running


@pytest.fixture
def scp(shared_receiver: Receiver) -> Iterator[Receiver]:
    shared_receiver.forget()
    yield shared_receiver
    shared_receiver.alive()


def accepted(body: bytes) -> dict[int, tuple[int, str]]:
    """Result and transfer syntax of each context of an A-ASSOCIATE-AC."""
    decoded = A_ASSOCIATE_AC()
    decoded.decode(pdu(2, body))
    found = decoded.to_primitive().presentation_context_definition_results_list
    return {c.context_id: (c.result, str(c.transfer_syntax[0])) for c in found}  # type: ignore[misc]


def information(body: bytes) -> dict[str, Any]:
    decoded = A_ASSOCIATE_AC()
    decoded.decode(pdu(2, body))
    return {type(item).__name__: item for item in decoded.to_primitive().user_information}


def test_each_context_gets_the_syntax_that_the_sender_names_first(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        found = accepted(
            peer.associate(
                (1, CT, [JPEG, EXPLICIT]), (3, CT, [EXPLICIT, JPEG]), (5, CT, [HTJ2K]),
                (7, "1.2.276.0.99.1", ["1.2.276.0.99.2"]), (9, VERIFICATION, [EXPLICIT, IMPLICIT]),
                (11, "1.2.840.10008.5.1.4.1.2.2.1", [EXPLICIT]), (13, COMMITMENT, [JPEG]),
                (15, COMMITMENT, [EXPLICIT]),
            )
        )  # fmt: skip
        peer.release()
    assert {one: result for one, (result, _) in found.items()} == {
        1: 0, 3: 0, 5: 0, 7: 0, 9: 0, 11: 3, 13: 4, 15: 0
    }  # fmt: skip
    assert [found[one][1] for one in (1, 3, 5, 7)] == [JPEG, EXPLICIT, HTJ2K, "1.2.276.0.99.2"]


def test_a_context_for_each_transfer_syntax_as_dcm4che_asks(scp: Receiver) -> None:
    classes = sorted(_STORAGE_CLASSES.values())[:16]
    syntaxes = [EXPLICIT, IMPLICIT, JPEG, HTJ2K, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5",
                "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1.99"]  # fmt: skip
    proposals = [
        (2 * number + 1, sop_class, [syntax])
        for number, (sop_class, syntax) in enumerate((c, s) for c in classes for s in syntaxes)
    ]
    assert len(proposals) == 128
    with RawPeer(scp.port) as peer:
        found = accepted(peer.associate(*proposals))
        assert found == {one: (0, syntaxes_[0]) for one, _, syntaxes_ in proposals}
        assert peer.store(b"x", context_id=255) == 0
        peer.release()
    meta = pydicom.filereader.read_file_meta_info(scp.files[0])
    assert meta.TransferSyntaxUID == syntaxes[-1]


def test_more_than_128_contexts_are_rejected(scp: Receiver) -> None:
    proposals = [(2 * (number % 128) + 1, CT, [EXPLICIT]) for number in range(129)]
    with RawPeer(scp.port) as peer:
        peer.send(request_pdu(proposals))
        kind, body = peer.receive()
        assert kind == RJ and tuple(body[1:]) == (1, 1, 1)


def test_storescu_proposing_all_it_knows(scp: Receiver, tmp_path: Path) -> None:
    Maker(1, size=16).ct(1).instances[0].save_as(tmp_path / "1.dcm", enforce_file_format=True)
    dcmtk.run("storescu", "-xf", "/etc/dcmtk/storescu.cfg", "Default", "-aec", "SLUSE",
              "127.0.0.1", scp.port, tmp_path / "1.dcm")  # fmt: skip
    assert len(scp.files) == 1


def test_extended_negotiation_is_answered_honestly(scp: Receiver) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 8
    window.maximum_number_operations_performed = 8
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CT
    extended.service_class_application_information = b"\2\0\0\0\0\0"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = CT, "1.2.840.10008.4.2"
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, True
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field, user.secondary_field = 2, b"me", b"secret"
    user.positive_response_requested = True
    with RawPeer(scp.port) as peer:
        found = information(peer.associate(further=[window, extended, common, role, user]))
        assert peer.store(b"x") == 0
        peer.release()
    answered = found["AsynchronousOperationsWindowNegotiation"]
    assert answered.maximum_number_operations_invoked == 1
    assert answered.maximum_number_operations_performed == 1
    assert found["MaximumLengthNotification"].maximum_length_received == 131072
    assert "SCP_SCU_RoleSelectionNegotiation" in found
    # Nobody checks identities: no positive answer, so the sender knows (PS3.7 D.3.3.7).
    assert "UserIdentityNegotiation" not in found
    assert "SOPClassExtendedNegotiation" not in found


def test_nothing_is_answered_that_was_not_asked(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        assert sorted(information(peer.associate())) == [
            "ImplementationClassUIDNotification", "ImplementationVersionNameNotification",
            "MaximumLengthNotification",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("RØNTGEN".encode("latin-1"), "R?NTGEN"),
        (b"CT1\0\0\0\0", "CT1"),
        (b"  CT1  ", "CT1"),
        (b"A\\B", "A?B"),
        (b"       ", "?"),
    ],
)
def test_calling_ae_titles_as_they_are_written(scp: Receiver, written: bytes, read_as: str) -> None:
    with RawPeer(scp.port) as peer:
        peer.send(request_pdu(calling="RAWRAW7").replace(b"RAWRAW7", written.ljust(7)))
        assert peer.receive()[0] == AC
        assert peer.store(b"x") == 0
        peer.release()
    until(lambda: bool(scp.ended), "the association to end")
    note = scp.spool.read_association(scp.ended[0])
    assert note is not None and note.calling_aet == read_as


# How many


def test_a_hundred_associations_at_once(scp: Receiver) -> None:
    everyone_is_in = threading.Barrier(100)

    def send(number: int) -> int:
        with RawPeer(scp.port, timeout=30) as peer:
            peer.associate()
            everyone_is_in.wait(30)
            status = peer.store(f"image {number:03}".encode() * 1000, f"1.2.{number}")
            peer.release()
            return status

    with ThreadPoolExecutor(100) as senders:
        assert set(senders.map(send, range(100))) == {0}
    until(lambda: len(scp.ended) == 100, "all to end")
    assert len({path.read_bytes()[-9:] for path in scp.files}) == 100


@contextmanager
def three(port: int) -> Iterator[tuple[RawPeer, RawPeer, RawPeer]]:
    with RawPeer(port) as first, RawPeer(port) as second, RawPeer(port) as third:
        yield first, second, third


def test_more_than_allowed_are_told_to_come_back(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=2) as scp, three(scp.port) as (first, second, third):
        first.associate()
        second.associate()
        third.send(request_pdu())
        kind, body = third.receive()
        assert kind == RJ and tuple(body[1:]) == (2, 3, 2)  # transient, local limit exceeded
        done = dcmtk.run("echoscu", "-aec", "SLUSE", "127.0.0.1", scp.port, check=False)
        assert "Local Limit Exceeded" in done.stderr
        assert first.echo() == 0
        second.release()
        with RawPeer(scp.port) as fourth:
            fourth.associate()
            assert fourth.echo() == 0


def test_one_address_can_not_take_all_the_room(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations_per_peer=1) as scp, RawPeer(scp.port) as first:
        first.associate()
        with RawPeer(scp.port) as second:
            second.send(request_pdu())
            assert tuple(second.receive()[1][1:]) == (2, 3, 2)
        with RawPeer(scp.port) as other:
            other.socket.close()
            other.socket = socket.create_connection(
                ("127.0.0.1", scp.port), 10, source_address=("127.0.0.2", 0)
            )
            other.associate()
            assert other.echo() == 0


def test_connections_that_only_knock_are_limited(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=1) as scp:
        knocking = [RawPeer(scp.port) for _ in range(5)]
        assert knocking[4].closed()
        for peer in knocking:
            peer.socket.close()


def test_stopping_aborts_what_is_open(tmp_path: Path) -> None:
    with receiver(tmp_path) as scp, RawPeer(scp.port) as peer, RawPeer(scp.port) as idle:
        idle.associate()
        peer.associate()
        assert peer.store(b"kept") == 0
        peer.say(3, b"\0" * 10)
        peer.aborted()
        scp.scp.stop()
        assert idle.aborted() == (0, 0)
        assert len(scp.files) == 1


# What is plugged in


def test_a_service_gets_its_messages_and_can_speak_for_itself(scp: Receiver) -> None:
    CALLS.clear()
    action = {3: COMMITMENT, 0x100: 0x130, 0x110: 5, 0x800: 1, 0x1001: "1.2", 0x1008: 1}
    with RawPeer(scp.port) as peer:
        peer.associate(
            (1, CT, [EXPLICIT]), (3, VERIFICATION, [IMPLICIT]), (5, COMMITMENT, [EXPLICIT])
        )
        for data_set in (b"data set", bytes(90_000)):
            peer.say(3, encode(action), 5)
            peer.say(0, data_set[:4], 5)
            peer.say(2, data_set[4:], 5)
            assert peer.status() == 0
            kind, body = peer.receive()  # the N-EVENT-REPORT-RQ
            assert kind == 4 and body[4:6] == bytes((5, 3))
            received = b""
            while not received or not body[5] & 2:
                kind, body = peer.receive()
                received += body[6:]
                assert len(body) <= 16384  # what we said we take
            assert received == data_set
            peer.say(3, encode({2: COMMITMENT, 0x100: 0x8100, 0x120: 1, 0x800: 0x101, 0x900: 0}), 5)
        peer.say(3, encode(action), 5)
        peer.say(2, b"broken!!", 5)
        assert peer.status() == 0x0110
        peer.say(3, encode(action), 5)
        peer.say(0, bytes(60_000), 5)
        peer.say(2, bytes(60_000), 5)
        assert peer.status() == 0x0213
        assert peer.store(b"x", context_id=5) == 0x0122
        assert peer.echo() == 0
        peer.release()
    assert [call.command.field for call in CALLS] == [0x130, 0x8100, 0x130, 0x8100, 0x130]
    assert CALLS[0].context.transfer_syntax == EXPLICIT


def test_pynetdicoms_sender_agrees(scp: Receiver) -> None:
    data_set = encoded(Maker(1, size=64).ct(1).instances[0])
    with association(scp.port) as opened:
        assert store_raw(opened, data_set) == 0
    entity = AE("SCU")
    entity.requested_contexts = [build_context(VERIFICATION)]
    opened = entity.associate("127.0.0.1", scp.port, ae_title="SLUSE")
    assert opened.send_c_echo().Status == 0
    opened.release()
    assert opened.is_released
    assert scp.files[0].read_bytes().endswith(data_set)


# What the data set says counts


async def test_a_data_set_that_differs_from_its_command_is_catalogued_as_what_it_is(
    runtime: Runtime, scp: Receiver
) -> None:
    image = Maker(1, size=16).ct(1).instances[0]
    mr = "1.2.840.10008.5.1.4.1.1.4"
    with RawPeer(scp.port) as peer:
        peer.associate((1, mr, [EXPLICIT]))
        assert peer.store(encoded(image), uid="1.2.99") == 0
    await _catalogue(runtime, scp)
    (row,) = await rows(runtime, Instance)
    assert (row.sop_instance_uid, row.sop_class_uid) == (image.SOPInstanceUID, CT)


async def test_several_patients_in_one_association(runtime: Runtime, scp: Receiver) -> None:
    maker = Maker(1, size=16)
    images = [maker.ct(1).instances[0] for _ in range(3)]
    stray = maker.ct(1).instances[0]
    stray.StudyInstanceUID = images[0].StudyInstanceUID
    with RawPeer(scp.port) as peer:
        peer.associate()
        for image in (*images, stray):
            assert peer.store(encoded(image), uid=image.SOPInstanceUID) == 0
    await _catalogue(runtime, scp)
    assert {row.sop_instance_uid for row in await rows(runtime, Instance)} == {
        image.SOPInstanceUID for image in images
    }
    (held,) = await rows(runtime, Quarantine)
    assert held.reason == Reason.OTHER_PATIENT


async def _catalogue(runtime: Runtime, scp: Receiver) -> None:
    """Hand what arrived to the classifier."""
    for path in scp.files:
        key = runtime.spool.inbox_key(path.parent.name, int(path.stem))
        with runtime.spool.writing(key) as file:
            file.write(path.read_bytes())
        await handle(received_consumer(runtime), InstanceReceived(keys=(key,)))


# Senders as they are


def test_a_sender_under_nagles_algorithm_is_not_slowed_down(scp: Receiver, tmp_path: Path) -> None:
    for number, image in enumerate(Maker(1, size=64).ct(150).instances):
        image.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    as_debian_has_it = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    command = ["dcmsend", "-aec", "SLUSE", "127.0.0.1", str(scp.port), "+sd", str(tmp_path)]
    began = time.monotonic()
    subprocess.run(command, check=True, env=as_debian_has_it, capture_output=True)
    # Each image waits 40 ms for an acknowledgement that the system delays: 6 s.
    assert time.monotonic() - began < 4
    assert len(scp.files) == 150


def test_orthanc_as_the_sender(scp: Receiver, research_pacs: Orthanc) -> None:
    images = Maker(77, size=32).ct(5).instances
    ids = []
    for image in images:
        encoded_file = BytesIO()
        image.save_as(encoded_file, enforce_file_format=True)
        ids.append(research_pacs.send("POST", "instances", encoded_file.getvalue())["ID"])
    research_pacs.send(
        "PUT", "modalities/sluse", {"AET": "SLUSE", "Host": "127.0.0.1", "Port": scp.port}
    )
    try:
        done = research_pacs.send("POST", "modalities/sluse/store", ids)
        assert (done["InstancesCount"], done["FailedInstancesCount"]) == (5, 0)
    finally:
        for one in ids:
            research_pacs.delete_instance(one)
    received = {read(path).SOPInstanceUID: read(path).PixelData for path in scp.files}
    assert received == {image.SOPInstanceUID: image.PixelData for image in images}
