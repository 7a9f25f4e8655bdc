"""When an image is on the disk, and what becomes of it when the disk has no room."""

import asyncio
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.receiver.announcer import Announcer
from shared.bus import CLASSIFIER_RECEIVED
from shared.clock import now
from shared.errors import Reason, Retry
from shared.runtime import Runtime
from shared.settings import Durability
from shared.spool import Association, Spool
from tests.integration.test_bus import Recorder, until
from tests.rawpeer import DATA, RawPeer, Receiver, pdu, pdv, receiver, store_command

Synced = list[str]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    """What was synced so far: names of files and folders."""
    names: Synced = []

    def watch(how: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            names.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            how(descriptor)

        return sync

    monkeypatch.setattr(os, "fsync", watch(os.fsync))
    monkeypatch.setattr(os, "fdatasync", watch(os.fdatasync))
    return names


@pytest.mark.parametrize("durability", list(Durability))
def test_what_is_synced_before_the_sender_hears_success(
    tmp_path: Path, synced: Synced, durability: Durability
) -> None:
    with receiver(tmp_path, durability=durability) as scp, RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(b"first") == 0
        synced.clear()  # the association's note and folder are new with the first image
        assert peer.store(b"second") == 0
        temporary = str(scp.settings.spool_path / "tmp")
        got = [temporary if one.startswith(temporary) else one for one in synced]
        expected = [temporary, str(scp.files[1].parent)]
        assert got == (expected if durability is Durability.INSTANCE else [])
        peer.release()


async def test_a_batch_is_durable_before_anybody_hears_of_it(
    runtime: Runtime, synced: Synced
) -> None:
    recorder = Recorder(queue=CLASSIFIER_RECEIVED)
    heard_after: list[Synced] = []
    recorder.react = lambda *_: heard_after.append(list(synced))
    announcer = Announcer(runtime.bus, runtime.spool, 0.01, syncing=True)
    keys = [runtime.spool.inbox_key("a" * 32, number) for number in (1, 2)]
    for key in keys:
        file = runtime.spool.arriving(key, synced=False)
        file.write([b"image"])
        file.keep()
    files = {str(runtime.spool.path(key)) for key in keys}
    assert not files & set(synced)
    async with runtime.bus.consuming(recorder):
        for key in keys:
            announcer.stored("a" * 32, key)
        await until(lambda: bool(recorder.messages))
    assert files < set(heard_after[0])
    assert str(runtime.spool.path(keys[0]).parent) == heard_after[0][-1]


async def test_a_disk_that_can_not_sync_a_batch_is_told(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(queue=CLASSIFIER_RECEIVED)
    announcer = Announcer(runtime.bus, runtime.spool, 0.01, syncing=True)
    key = runtime.spool.inbox_key("a" * 32, 1)
    with runtime.spool.writing(key) as file:
        file.write(b"image")

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    async with runtime.bus.consuming(recorder):
        announcer.stored("a" * 32, key)
        await asyncio.sleep(0.2)
        await announcer.drain()
    assert recorder.messages == []


# A disk without room


@pytest.fixture(params=[0, 1, 700_000])
def small_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes left on the disk for images."""
    left = [request.param]
    writev = os.writev

    def write(descriptor: int, parts: Any) -> int:
        content = b"".join(parts)[: left[0]]
        if not content:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= len(content)
        return writev(descriptor, [content])

    monkeypatch.setattr(os, "writev", write)
    monkeypatch.setattr(os, "write", lambda descriptor, part: write(descriptor, [part]))
    return left


def test_a_disk_that_fills_up_within_a_data_set(tmp_path: Path, small_disk: list[int]) -> None:
    content = random.Random(1).randbytes(1_000_000)
    with receiver(tmp_path) as scp, RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store(content) == 0xA700
        assert scp.temporary == [] and scp.files == []
        assert peer.store(content) == 0xA700
        small_disk[0] = 10_000_000  # somebody has made room
        assert peer.store(content) == 0
        assert scp.files[0].read_bytes().endswith(content)
        assert scp.files[0].name == "00000001.dcm"
        peer.release()
    assert len(list(scp.settings.spool_path.rglob("*.dcm"))) == 1


def test_a_broken_disk_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with receiver(tmp_path) as scp, RawPeer(scp.port) as peer:
        peer.associate()
        monkeypatch.setattr(os, "writev", broken)
        assert peer.store(b"image") == 0x0110
        monkeypatch.undo()
        assert peer.store(b"image") == 0
        peer.release()


# A data set of any size


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path, durability="none") as scp:
        yield scp


def test_a_huge_data_set_takes_no_memory(large: Receiver) -> None:
    block = random.Random(1).randbytes(1 << 17)
    piece = pdu(DATA, pdv(1, 0, block[: (1 << 17) - 6]))
    count = 2500  # 328 MB
    with RawPeer(large.port, timeout=60) as peer:
        peer.associate()
        assert peer.store(bytes(3_000_000)) == 0
        before = _resident()
        most = before
        peer.say(3, store_command("1.2.4"))
        for number in range(count):
            peer.send(piece)
            if number % 100 == 0:
                most = max(most, _resident())
        peer.say(2, b"")
        assert peer.status() == 0
        peer.release()
    assert most - before < 8 << 20
    _, huge = large.files
    assert (
        huge.stat().st_size - large.files[0].stat().st_size == count * len(piece[12:]) - 3_000_000
    )
    huge.unlink()


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# The file that arrives


def test_an_arriving_file_is_whole_or_not_there(spool: Spool) -> None:
    key = spool.inbox_key("b" * 32, 1)
    dropped = spool.arriving(key, synced=True)
    dropped.write([b"half"])
    dropped.drop()
    dropped.drop()
    kept = spool.arriving(key, synced=True)
    kept.write([b"wh", memoryview(b"ole")])
    assert not spool.path(key).exists()
    kept.keep()
    assert spool.path(key).read_bytes() == b"whole"
    sender = Association(calling_aet="A", called_aet="B", peer_address="::1", opened_at=now())
    spool.write_association("b" * 32, sender)
    assert spool.waiting_associations() == ["b" * 32]


def test_syncing_what_has_moved_on_is_fine(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = (spool.inbox_key("c" * 32, number) for number in (1, 2))
    with spool.writing(there) as file:
        file.write(b"x")
    spool.sync([gone, there])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(Retry) as caught:
        spool.sync([there])
    assert caught.value.reason is Reason.DISK_FULL


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    return spool
