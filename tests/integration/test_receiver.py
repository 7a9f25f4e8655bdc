"""The receiver on the wire, against dcmtk and against senders that misbehave."""

import asyncio
import errno
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from demo.phantoms import Maker
from services.receiver.announcer import Announcer
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.scp import StorageScp
from shared.bus import CLASSIFIER_RECEIVED, Message
from shared.events import AssociationClosed, InstanceReceived
from shared.ledger.tables import Project, core
from shared.runtime import Runtime
from tests.corpus import read, storage_objects
from tests.helpers import make_project
from tests.integration.test_bus import Recorder, until
from tests.servers import dcmtk
from tests.wire import association, encoded, store_raw


@pytest.fixture
async def door(runtime: Runtime) -> Door:
    return Door("SLUSE", runtime.settings.peers, runtime.ledger)


@pytest.fixture
async def scp(runtime: Runtime, door: Door) -> AsyncIterator[StorageScp]:
    announcer = Announcer(runtime.bus, runtime.spool, flush_after=0.05)
    running = StorageScp(
        runtime.settings, runtime.spool, announcer, runtime.pressure, door,
        Refusals(runtime.ledger).add,
    )  # fmt: skip
    running.start()
    yield running
    await asyncio.to_thread(running.stop)
    await announcer.drain()


@pytest.fixture
async def heard(runtime: Runtime) -> AsyncIterator[Recorder]:
    recorder = Recorder(queue=CLASSIFIER_RECEIVED)
    async with runtime.bus.consuming(recorder):
        yield recorder


def keys(messages: list[Message]) -> list[str]:
    return [key for m in messages if isinstance(m.event, InstanceReceived) for key in m.event.keys]


def closed(messages: list[Message]) -> list[str]:
    return [m.event.association_id for m in messages if isinstance(m.event, AssociationClosed)]


def spooled(runtime: Runtime) -> list[Path]:
    return sorted(p for p in runtime.settings.spool_path.rglob("*") if p.suffix == ".dcm")


async def run(
    tool: str, *arguments: str | Path | int, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(dcmtk.run, tool, *arguments, check=check)


async def test_echo(scp: StorageScp) -> None:
    await run("echoscu", "-aec", "SLUSE", "127.0.0.1", scp.port)


async def test_an_echo_leaves_nothing_behind(
    runtime: Runtime, scp: StorageScp, heard: Recorder
) -> None:
    await test_echo(scp)
    await asyncio.sleep(0.2)
    assert runtime.spool.waiting_associations() == [] and heard.messages == []


async def test_data_sets_are_written_as_they_came(
    runtime: Runtime, scp: StorageScp, heard: Recorder, tmp_path: Path
) -> None:
    instances = Maker(1, size=64).mr(3).instances
    files = []
    for number, instance in enumerate(instances):
        files.append(tmp_path / f"{number}.dcm")
        instance.save_as(files[-1], enforce_file_format=True)
    await run("storescu", "-aet", "MR1", "-aec", "SLUSE", "127.0.0.1", scp.port, *files)
    await until(lambda: bool(closed(heard.messages)))
    found = keys(heard.messages)
    assert len(found) == 3
    sender = runtime.spool.read_association(runtime.spool.association_of(found[0]))
    assert sender is not None
    assert (sender.calling_aet, sender.called_aet, sender.completed) == ("MR1", "SLUSE", True)
    for key, instance in zip(found, instances, strict=True):
        stored = read(runtime.spool.path(key))
        assert stored.file_meta.MediaStorageSOPInstanceUID == instance.SOPInstanceUID
        # storescu sends what it read, but for group lengths and the like: compare values.
        assert stored == instance
        assert stored.PixelData == instance.PixelData


async def test_the_whole_corpus_is_taken(
    runtime: Runtime, scp: StorageScp, heard: Recorder
) -> None:
    by_syntax: dict[str, list[Path]] = {}
    for path in storage_objects():
        by_syntax.setdefault(str(read(path).file_meta.TransferSyntaxUID), []).append(path)
    refused_by_dcmtk = 0
    for syntax, files in by_syntax.items():
        for path in files:
            done = await run(
                "storescu", *dcmtk.propose(syntax), "-aec", "SLUSE", "127.0.0.1", scp.port, path,
                check=False,
            )  # fmt: skip
            refused_by_dcmtk += done.returncode != 0
    taken = len(storage_objects()) - refused_by_dcmtk
    assert refused_by_dcmtk <= 12  # a few damaged or exotic ones never leave it
    await until(lambda: len(keys(heard.messages)) >= taken)
    assert len(spooled(runtime)) == taken


async def test_dcmsend_sends_many_files_in_one_go(
    runtime: Runtime, scp: StorageScp, heard: Recorder, tmp_path: Path
) -> None:
    for number, instance in enumerate(Maker(1, size=32).ct(70).instances):
        instance.save_as(tmp_path / f"{number:02}.dcm", enforce_file_format=True)
    await run("dcmsend", "-aec", "SLUSE", "127.0.0.1", scp.port, "+sd", tmp_path)
    await until(lambda: bool(closed(heard.messages)) and len(keys(heard.messages)) == 70)
    sizes = [len(m.event.keys) for m in heard.messages if isinstance(m.event, InstanceReceived)]
    assert max(sizes) <= 64


@pytest.mark.parametrize(
    ("sop_class", "syntax"),
    [
        ("1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.1.2.4.50"),  # retired
        ("1.2.276.0.99.1.2.3", "1.2.840.10008.1.2.1"),  # private
        ("1.2.840.10008.5.1.4.1.1.999.9", "1.2.840.10008.1.2"),  # not in any dictionary yet
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.202"),  # high-throughput JPEG 2000
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.276.0.99.9"),  # a private transfer syntax
    ],
)
async def test_every_storage_class_and_syntax_is_taken(
    runtime: Runtime, scp: StorageScp, sop_class: str, syntax: str
) -> None:
    def send() -> int:
        with association(scp.port, classes=(sop_class,), syntax=syntax) as opened:
            assert opened.is_established
            return store_raw(opened, b"anything", sop_class=sop_class)

    assert await asyncio.to_thread(send) == 0x0000
    (path,) = spooled(runtime)
    meta = pydicom.filereader.read_file_meta_info(path)
    assert meta.TransferSyntaxUID == syntax and meta.MediaStorageSOPClassUID == sop_class
    assert path.read_bytes().endswith(b"anything")


@pytest.mark.parametrize("sop_instance", ["../../../etc/passwd", "1.2.x", "1/2", "a" * 64])
async def test_an_illegal_sop_instance_uid_is_refused(
    runtime: Runtime, scp: StorageScp, sop_instance: str
) -> None:
    def send() -> tuple[int, int]:
        with association(scp.port) as opened:
            bad = store_raw(opened, b"x", sop_instance=sop_instance)
        with association(scp.port) as opened:
            return bad, store_raw(opened, b"x", sop_instance="1.2.3")

    bad, good = await asyncio.to_thread(send)
    assert bad in (0x0117, -1)  # invalid SOP instance, or the association aborted
    assert good == 0x0000
    assert len(spooled(runtime)) == 1


async def test_an_unknown_called_ae_title_is_rejected_with_the_right_reason(
    scp: StorageScp,
) -> None:
    done = await run("echoscu", "-aec", "NOBODY", "127.0.0.1", scp.port, check=False)
    assert "Called AE Title Not Recognized" in done.stderr


async def test_projects_have_ae_titles_while_they_are_active(
    runtime: Runtime, scp: StorageScp, door: Door
) -> None:
    await make_project(runtime, "BICAM")
    await door.refresh()
    await run("echoscu", "-aec", "BICAM", "127.0.0.1", scp.port)
    async with runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Project)).values(state="closed"))
    await door.refresh()
    done = await run("echoscu", "-aec", "BICAM", "127.0.0.1", scp.port, check=False)
    assert done.returncode != 0


async def test_a_full_disk_is_answered_out_of_resources_and_loses_nothing(
    runtime: Runtime, scp: StorageScp, heard: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set = encoded(Maker(1, size=16).ct(1).instances[0])

    def send() -> int:
        with association(scp.port) as opened:
            return store_raw(opened, data_set)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    assert await asyncio.to_thread(send) == 0xA700
    assert spooled(runtime) == []
    assert not list((runtime.settings.spool_path / "tmp").iterdir())
    monkeypatch.undo()
    assert await asyncio.to_thread(send) == 0x0000
    await until(lambda: len(keys(heard.messages)) == 1)


async def test_an_aborted_association_keeps_what_it_brought(
    runtime: Runtime, scp: StorageScp, heard: Recorder
) -> None:
    def send() -> None:
        with association(scp.port) as opened:
            assert store_raw(opened, b"one") == 0x0000
            opened.abort()

    await asyncio.to_thread(send)
    await until(lambda: bool(closed(heard.messages)))
    (key,) = keys(heard.messages)
    sender = runtime.spool.read_association(runtime.spool.association_of(key))
    assert sender is not None and sender.closed_at is not None and not sender.completed


async def test_a_connection_that_is_not_dicom_harms_nobody(scp: StorageScp) -> None:
    def shout() -> None:
        with socket.create_connection(("127.0.0.1", scp.port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)

    await asyncio.to_thread(shout)
    await test_echo(scp)


async def test_events_name_files_of_one_series(
    runtime: Runtime, scp: StorageScp, heard: Recorder, tmp_path: Path
) -> None:
    maker, files = Maker(1, size=16), []
    for study in (maker.ct(2), maker.mr(2)):
        for instance in study.instances:
            files.append(tmp_path / f"{len(files)}.dcm")
            instance.save_as(files[-1], enforce_file_format=True)
    order = [files[0], files[2], files[1], files[3]]
    await run("storescu", "-aec", "SLUSE", "127.0.0.1", scp.port, *order)
    await until(lambda: len(keys(heard.messages)) == 4)
    for message in heard.messages:
        if isinstance(message.event, InstanceReceived):
            series = {read(runtime.spool.path(k)).SeriesInstanceUID for k in message.event.keys}
            assert len(series) == 1


async def test_a_refused_association_is_told_with_who_and_whom(scp: StorageScp) -> None:
    with capture_logs() as logs:
        await run("echoscu", "-aet", "CT1", "-aec", "NOSUCH", "127.0.0.1", scp.port, check=False)
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert warning["event"] == "association rejected: called AE title not recognised"
    assert (warning["calling"], warning["called"]) == ("CT1", "NOSUCH")
    assert warning["peer"] == "127.0.0.1"


async def test_an_unexpected_error_refuses_the_image_and_is_told_without_its_text(
    runtime: Runtime, scp: StorageScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise ValueError("Nordmann^Kari")

    monkeypatch.setattr("services.receiver.consumer.Intake.begin", broken)

    def send() -> int:
        with association(scp.port) as opened:
            return store_raw(opened, bytes(2))

    with capture_logs() as logs:
        assert await asyncio.to_thread(send) == 0x0110
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["image refused"]
    assert spooled(runtime) == []
