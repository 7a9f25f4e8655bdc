"""Whatever a peer sends, the receiver answers as the standard says, keeps what was complete, and
leaves no thread, no descriptor and no temporary file behind."""

import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.dimse.messages import encode
from tests.rawpeer import (
    ABORT,
    CT,
    DATA,
    EXPLICIT,
    RELEASE,
    RJ,
    RQ,
    STORE_CT,
    RawPeer,
    Receiver,
    echo_command,
    pdu,
    pdv,
    receiver,
    request_pdu,
    store_command,
    until,
)

USER, PROVIDER = 0, 2
UNRECOGNIZED, UNEXPECTED, INVALID = 1, 2, 6


@pytest.fixture(scope="module")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiver(tmp_path_factory.mktemp("malformed"), network_timeout=2) as running:
        yield running


@pytest.fixture
def scp(shared_receiver: Receiver) -> Iterator[Receiver]:
    shared_receiver.forget()
    yield shared_receiver
    shared_receiver.alive()


# Before there is an association (Sta2)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: sluse\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS to a plain port
        pdu(DATA, pdv(1, 3, echo_command())),
        pdu(RELEASE, bytes(4)),
        pdu(RQ, b""),
        pdu(RQ, b"\xff" * 300),
        pdu(RQ, b"", length=0xFFFFFFFF),
        request_pdu()[:-3] + b"\xff\xff\xff",
        bytes(1000),
    ],
)
def test_garbage_instead_of_a_request_is_aborted(scp: Receiver, garbage: bytes) -> None:
    with RawPeer(scp.port) as peer:
        peer.send(garbage)
        assert peer.aborted() == (USER, 0)  # AA-1


def test_who_only_knocks_leaves_no_trace(scp: Receiver) -> None:
    with capture_logs() as logs:
        RawPeer(scp.port).socket.close()
        with RawPeer(scp.port) as peer:
            peer.send(pdu(ABORT, bytes(4)))
            assert peer.closed()  # AA-2
    assert logs == []


def test_an_unfinished_request_ends_with_the_artim_timer(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        began = time.monotonic()
        peer.send(request_pdu()[:50])
        assert peer.closed()
        assert 0.8 < time.monotonic() - began < 8


def test_a_request_that_dribbles_ends_too(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        assert dribbled(peer, request_pdu(), every=0.1) < 8


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (pdu(RQ, bytes(68)), (1, 2, 2)),
        (request_pdu().replace(b"\0\x04\0\0\x40\0", b"\0\x04\0\0\0\x06"), (1, 1, 1)),  # 6 bytes
        (request_pdu(called="NOBODY"), (1, 1, 7)),
        (request_pdu().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2"), (1, 1, 2)),
        (request_pdu()[:6] + b"\0\2" + request_pdu()[8:], (1, 2, 2)),
        (request_pdu([(1, CT, [EXPLICIT]), (1, CT, ["1.2.840.10008.1.2"])]), (1, 1, 1)),
    ],
)
def test_an_impossible_request_is_rejected(
    scp: Receiver, request_: bytes, answer: tuple[int, ...]
) -> None:
    with RawPeer(scp.port) as peer:
        peer.send(request_)
        kind, body = peer.receive()
        assert kind == RJ and tuple(body[1:]) == answer


def test_the_next_protocol_version_is_spoken_to_in_ours(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.send(request_pdu()[:6] + b"\0\3" + request_pdu()[8:])  # versions 1 and 2
        assert peer.receive()[0] == 2


# During the association (Sta6)


def test_unknown_kinds_of_pdus(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(0x42, bytes(10)))
        assert peer.aborted() == (PROVIDER, UNRECOGNIZED)


@pytest.mark.parametrize(
    "second", [request_pdu(), pdu(2, bytes(70)), pdu(3, bytes(4)), pdu(6, bytes(4))]
)
def test_pdus_out_of_place(scp: Receiver, second: bytes) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(second)
        assert peer.aborted() == (PROVIDER, UNEXPECTED)  # AA-8


@pytest.mark.parametrize(
    "bad",
    [
        pdu(DATA, b""),
        pdu(DATA, b"abc"),
        pdu(DATA, pdv(1, 3, b"", length=0)),
        pdu(DATA, pdv(1, 3, b"", length=1)),
        pdu(DATA, pdv(1, 3, store_command(), length=5000)),
        pdu(DATA, pdv(1, 3, store_command(), length=0xFFFFFFFF)),
        pdu(DATA, pdv(3, 3, echo_command()) + b"\0\0\0"),
        pdu(DATA, b"", length=131073),
        pdu(DATA, b"", length=0xFFFFFFFF),
        pdu(DATA, pdv(99, 3, store_command())),  # context that was never proposed
        pdu(RELEASE, bytes(8)),
    ],
)
def test_wrong_lengths_and_unknown_contexts(scp: Receiver, bad: bytes) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(bad)
        while (answer := peer.receive())[0] == DATA:
            pass  # what came before the fault has been answered
        assert answer == (ABORT, bytes((0, 0, PROVIDER, INVALID)))


def test_a_context_that_was_rejected_is_unknown(scp: Receiver) -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    with RawPeer(scp.port) as peer:
        peer.associate(*STORE_CT, (5, find, [EXPLICIT]))
        peer.say(3, store_command(), context_id=5)
        assert peer.aborted() == (PROVIDER, INVALID)


@pytest.mark.parametrize(
    "command",
    [
        bytes(7),
        b"\xff" * 64,
        store_command()[:-3],
        store_command().replace(b"\0\1\x02\0\0\0", b"\0\1\xff\xff\0\0"),
        encode({0x110: 1}),  # no command field
        encode({0x100: 1, 0x110: 1}),  # nor whether a data set follows
        encode({0x100: 1, 0x800: 1}),  # no message id
        struct.pack("<HHL", 8, 0x18, 2) + b"1\0" + store_command(),  # not of group 0000
    ],
)
def test_a_command_set_that_is_none(scp: Receiver, command: bytes) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.say(3, command)
        assert peer.aborted() == (USER, 0)


def test_a_command_set_without_end(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        for _ in range(3):
            peer.say(1, bytes(30_000))
        assert peer.aborted() == (USER, 0)


@pytest.mark.parametrize(
    "fragments",
    [
        [(1, 2, b"data set")],  # without a command
        [(1, 3, store_command()), (1, 3, store_command())],  # command where the data set should be
        [(1, 3, store_command()), (3, 2, b"data set")],  # data set on another context
        [(1, 1, store_command()[:20]), (3, 3, store_command()[20:])],  # command on two contexts
        [(1, 1, store_command()[:20]), (1, 2, b"data set")],  # data set within the command
    ],
)
def test_fragments_in_the_wrong_order(
    scp: Receiver, fragments: list[tuple[int, int, bytes]]
) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(DATA, b"".join(pdv(*fragment) for fragment in fragments)))
        assert peer.aborted() == (USER, 0)


def test_fragments_of_any_size_make_the_same_file(scp: Receiver) -> None:
    content = random.Random(1).randbytes(70_001)
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(content) == 0
        command = store_command()
        fragments = [pdv(1, 1, bytes([byte])) for byte in command]
        fragments[-1] = pdv(1, 3, command[-1:])
        rest = content
        for size in (1, 0, 7, 60_000, 1, 2, 3):
            fragments.append(pdv(1, 0, rest[:size]))
            rest = rest[size:]
        fragments += [pdv(1, 0, rest[i : i + 9]) for i in range(0, len(rest), 9)]
        fragments.append(pdv(1, 2, b""))
        stream = b"".join(pdu(DATA, one) for one in fragments)
        for start in range(0, len(stream), 4093):
            peer.send(stream[start : start + 4093])
        assert peer.status() == 0
        peer.release()
    first, second = scp.files
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().endswith(content)


def test_a_store_without_a_data_set_stores_nothing(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.say(3, store_command(data_set=0x101))
        assert peer.status() == 0xC000
        assert peer.store(b"one") == 0  # the association goes on
    assert len(scp.files) == 1


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "1.2.x", "1" * 65])
def test_a_refused_data_set_is_read_to_its_end(scp: Receiver, uid: str) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(bytes(300_000), uid) == 0x0117
        assert peer.store(b"one") == 0
    assert len(scp.files) == 1


def test_storing_on_the_context_of_verification(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(bytes(10), context_id=3) == 0x0122
        peer.say(3, echo_command(), context_id=1)
        assert peer.status() == 0x0122
    assert scp.files == []


def test_operations_that_nobody_offers(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        for field in (0x20, 0x21, 0x10, 0x100, 0x110, 0x120, 0x130, 0x140, 0x150, 0x777):
            peer.say(3, encode({2: CT, 0x100: field, 0x110: 7, 0x800: 1}))
            peer.say(2, bytes(50_000))
            assert peer.status() == 0x0211
        peer.say(3, encode({0x100: 0xFFF, 0x120: 7, 0x800: 0x101}))  # C-CANCEL
        peer.say(3, encode({0x100: 0x8001, 0x120: 7, 0x800: 0x101, 0x900: 0}))  # a stray response
        assert peer.echo() == 0


def test_the_commands_sop_class_may_differ_from_the_contexts(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.say(3, store_command(sop_class="1.2.840.10008.5.1.4.1.1.4"))
        peer.say(2, b"x")
        assert peer.status() == 0
        peer.say(3, store_command(sop_class="nonsense"))
        peer.say(2, b"x")
        assert peer.status() == 0
    said, context = (path.read_bytes() for path in scp.files)
    assert b"1.2.840.10008.5.1.4.1.1.4\0" in said and CT.encode() in context


# Ends of all kinds


def _abort(peer: RawPeer) -> None:
    peer.send(pdu(ABORT, bytes(4)))


def _vanish(peer: RawPeer) -> None:
    peer.socket.close()


def _reset(peer: RawPeer) -> None:
    peer.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close sends RST
    peer.socket.close()


@pytest.mark.parametrize("end", [_abort, _vanish, _reset])
def test_an_end_within_a_data_set_keeps_the_earlier_images(
    scp: Receiver, end: Callable[[RawPeer], None]
) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(b"first") == 0
        peer.say(3, store_command("1.2.4"))
        peer.say(0, bytes(120_000))
        until(lambda: len(scp.temporary) == 1, "the file to be begun")
        end(peer)
        until(lambda: bool(scp.ended), "the association to end")
    assert [path.read_bytes()[-5:] for path in scp.files] == [b"first"]
    note = scp.spool.read_association(scp.ended[0])
    assert note is not None and not note.completed and note.closed_at is not None


def test_a_release_within_a_data_set_leaves_nothing_of_it(scp: Receiver) -> None:
    before = scp.spool.waiting_associations()
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.say(3, store_command())
        peer.say(0, bytes(1000))
        until(lambda: scp.spool.waiting_associations() != before, "the file to be begun")
        peer.release()
    assert scp.files == []
    until(lambda: scp.spool.waiting_associations() == before, "the association's note to go")


def test_a_release_between_two_data_sets_leaves_the_first_only(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(b"first") == 0
        peer.say(3, store_command("1.2.4"))
        peer.release()
    until(lambda: bool(scp.ended), "the association to end")
    note = scp.spool.read_association(scp.ended[0])
    assert note is not None and not note.completed and len(scp.files) == 1


def test_a_peer_that_dribbles_is_given_up(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(b"first") == 0
        data_set = pdu(DATA, pdv(1, 3, store_command()) + pdv(1, 0, bytes(3000)))
        assert dribbled(peer, data_set, every=0.1) < 12  # network_timeout is 2
    until(lambda: bool(scp.ended), "the association to end")
    assert len(scp.files) == 1


def test_a_silent_peer_is_given_up(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        began = time.monotonic()
        assert peer.aborted() == (USER, 0)
        assert 1.5 < time.monotonic() - began < 8


def test_a_slow_peer_that_gets_on_is_not_given_up(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.say(3, store_command())
        for _ in range(6):
            time.sleep(0.5)
            peer.say(0, bytes(3000))
        peer.say(2, b"end")
        assert peer.status() == 0


def test_a_peer_that_never_hangs_up_is_not_waited_for(scp: Receiver) -> None:
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.release()
        began = time.monotonic()
        assert peer.closed()
        assert 0.8 < time.monotonic() - began < 8


def test_random_damage_to_a_good_conversation(scp: Receiver) -> None:
    good = b"".join(
        [
            pdu(DATA, pdv(3, 3, echo_command())),
            pdu(DATA, pdv(1, 3, store_command())),
            pdu(DATA, pdv(1, 0, bytes(2000)) + pdv(1, 2, bytes(500))),
            pdu(RELEASE, bytes(4)),
        ]
    )
    chance = random.Random(5)
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        with RawPeer(scp.port) as peer:
            peer.associate()
            peer.send(bytes(damaged[: chance.choice([len(good), chance.randrange(len(good))])]))


def dribbled(peer: RawPeer, content: bytes, every: float) -> float:
    """Send byte by byte until the receiver has enough of it; seconds that took."""
    began = time.monotonic()
    for byte in content:
        try:
            peer.send(bytes([byte]))
        except OSError:
            break
        peer.socket.settimeout(every)
        try:
            if not peer.socket.recv(100):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("it took everything")
    return time.monotonic() - began


def test_the_log_names_the_peer_and_no_content(scp: Receiver, tmp_path: Path) -> None:
    with capture_logs() as logs, RawPeer(scp.port) as peer:
        peer.associate(calling="CT1")
        assert peer.store(b"Nordmann^Kari", uid="Nordmann^Kari") == 0x0117
        peer.say(3, b"Nordmann^Kari")
        peer.aborted()
    assert "Nordmann" not in str(logs)
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert (warning["calling"], warning["peer"]) == ("CT1", "127.0.0.1")
    assert warning["why"] == "not a command set"
