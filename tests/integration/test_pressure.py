"""A full disk and a long backlog: real senders are told to come again, and what is here goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from demo.phantoms import Maker
from services.api.app import create_app
from services.receiver.announcer import Announcer
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.scp import StorageScp
from shared.events import InstanceAssigned, InstanceReceived
from shared.ledger.backlog import unfinished
from shared.ledger.tables import Delivery, core
from shared.pressure import Pressure, Room
from shared.runtime import Runtime
from tests.helpers import arrive, part10
from tests.integration.test_api_fixtures import Api
from tests.integration.test_life_fixtures import IMAGES, World
from tests.line import Line, requested
from tests.servers import dcmtk
from tests.wire import association

FULL, LITTLE, PLENTY = 20, 40, 60  # of 1000 blocks: below 3 %, between, above 5 %


class Gate(World):
    """A receiver and an API over one disk, of which a test says how full it is."""

    free = 1000
    scp: StorageScp
    image: Path
    client: httpx.AsyncClient

    def look(self, _: Path) -> Room:
        return Room(4096, 1000, self.free)

    async def at(self, free: int) -> None:
        """So much is free from now on."""
        self.free = free
        self.runtime.pressure._looked = -1.0  # as a second later

    async def store(self, *options: str) -> str:
        """What storescu complains about; empty when it was taken."""
        done = await asyncio.to_thread(
            dcmtk.run, "storescu", "-v", *options, "-aec", "SLUSE", "127.0.0.1", self.scp.port,
            self.image, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stderr + done.stdout


@pytest.fixture
async def gate(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Gate]:
    made: Gate
    pressure = Pressure(runtime.settings, lambda folder: made.look(folder))
    runtime = replace(runtime, pressure=pressure)
    transport = httpx.ASGITransport(create_app(runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        made = Gate(runtime, Api(client), Line(runtime, await runtime.load_master_key()))
        made.client, made.image = client, tmp_path / "image.dcm"
        made.image.write_bytes(part10(Maker(3, size=16).ct(1).instances[0]))
        await made.set_up()
        announcer = Announcer(runtime.bus, runtime.spool, flush_after=0.05)
        made.scp = StorageScp(
            runtime.settings, runtime.spool, announcer, pressure,
            Door("SLUSE", runtime.settings.peers, runtime.ledger), Refusals(runtime.ledger).add,
        )  # fmt: skip
        made.scp.start()
        yield made
        await asyncio.to_thread(made.scp.stop)
        await announcer.drain()


async def test_senders_are_refused_when_the_disk_is_full_and_taken_again(gate: Gate) -> None:
    assert await gate.store() == ""
    await gate.at(LITTLE)
    assert await gate.store() == ""
    await gate.at(FULL)
    refused = await gate.store()
    assert "Rejected Transient" in refused
    assert "Local Limit Exceeded" in refused
    # Who stores nothing comes in: research PACS report on what was delivered.
    done = await asyncio.to_thread(
        dcmtk.run, "echoscu", "-aec", "SLUSE", "127.0.0.1", gate.scp.port, check=False
    )
    assert done.returncode == 0, done.stderr
    await gate.at(LITTLE)
    assert "Rejected Transient" in await gate.store()
    await gate.at(PLENTY)
    assert await gate.store() == ""
    await gate.at(LITTLE)
    assert await gate.store() == ""


async def test_an_image_of_an_open_association_is_answered_0xa700(gate: Gate) -> None:
    images = Maker(4, size=16).ct(3).instances

    def send() -> list[int]:
        found = []
        with association(gate.scp.port) as open_one:
            for image, free in zip(images, (1000, FULL, PLENTY), strict=True):
                gate.free = free
                gate.runtime.pressure._looked = -1.0
                found.append(open_one.send_c_store(image).Status)
        return found

    assert await asyncio.to_thread(send) == [0x0000, 0xA700, 0x0000]
    # The end of the association is written when the sender has heard the answer to its release.
    await asyncio.to_thread(gate.scp.stop)
    assert list((gate.runtime.settings.spool_path / "tmp").iterdir()) == []


async def test_what_is_inside_goes_on_and_is_delivered(gate: Gate) -> None:
    transfer = await gate.assign()
    await gate.at(FULL)
    await gate.line.run(*requested([transfer]))
    found = await gate.read(transfer)
    assert (found["state"], found["counts"]["delivered"]) == ("complete", IMAGES)


async def test_too_much_to_do_refuses_new_senders(gate: Gate) -> None:
    runtime = gate.runtime
    settings = runtime.settings.model_copy(
        update={"backlog_stop": 5, "backlog_resume": 3, "backlog_every": 0.001}
    )
    pressure = runtime.pressure
    pressure._settings = settings
    transfer = await gate.assign()
    events = await gate.line.run(*requested([transfer]), until=InstanceAssigned)
    await pressure.count(runtime.ledger, runtime.spool)
    assert (pressure.backlog.images, pressure.backlog.stopped) == (IMAGES, False)
    keys = arrive(runtime, Maker(8, size=16).ct(3).instances)
    await asyncio.sleep(0.01)
    await pressure.count(runtime.ledger, runtime.spool)
    assert (pressure.backlog.images, pressure.backlog.stopped) == (IMAGES + 3, True)
    refused = await gate.store()
    assert "Rejected Transient" in refused
    assert "Temporary Congestion" in refused
    stow = await _stow(gate)
    assert (stow.status_code, stow.headers["retry-after"]) == (503, "60")
    health = await gate.api("GET", "/health", 200)
    (backlog,) = [one for one in health["checks"] if one["part"] == "backlog"]
    assert not backlog["ok"]
    # It works off what is here, and lets senders in again.
    await gate.line.run(InstanceReceived(keys=tuple(keys)), *events)
    await asyncio.sleep(0.01)
    await pressure.count(runtime.ledger, runtime.spool)
    assert (pressure.backlog.images, pressure.backlog.stopped) == (0, False)
    assert await gate.store() == ""


async def test_what_waits_for_somebody_else_is_no_backlog(gate: Gate) -> None:
    transfer = await gate.assign()
    await gate.line.run(*requested([transfer]), until=InstanceAssigned)
    async with gate.runtime.ledger.transaction() as connection:
        assert await unfinished(connection, 100) == IMAGES
        assert await unfinished(connection, 2) == 2
        await connection.execute(update(core(Delivery)).values(reason="destination-away"))
        assert await unfinished(connection, 2) == 0


async def test_http_is_refused_as_well(gate: Gate) -> None:
    await gate.at(FULL)
    stow = await _stow(gate)
    assert (stow.status_code, stow.headers["retry-after"]) == (503, "60")
    assert "nearly full" in stow.json()["title"]
    made = await gate.api("POST", "/imports", 201, {"project": "AAA", "event": "v1"})
    await gate.at(PLENTY)
    files = {"files": [{"path": "a.dcm", "size": 4}]}
    named = await gate.api("POST", f"/imports/{made['id']}/files", 200, files)
    await gate.at(FULL)
    path = f"/api/v1/imports/{made['id']}/files/{named['files'][0]['id']}"
    headers = {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
    piece = await gate.client.patch(path, content=b"DICM", headers=headers)
    assert (piece.status_code, piece.headers["retry-after"]) == (507, "60")
    page = await gate.client.get("/", headers={"accept": "text/html"})
    assert "The disk is nearly full: no images are taken." in page.text
    await gate.at(PLENTY)
    piece = await gate.client.patch(path, content=b"DICM", headers=headers)
    assert piece.status_code == 204
    assert (await _stow(gate)).status_code == 200
    page = await gate.client.get("/", headers={"accept": "text/html"})
    assert "There is little room on the disk." in page.text


async def test_health_warns_before_it_stops(gate: Gate) -> None:
    async def disk() -> dict[str, object]:
        found = await gate.api("GET", "/health", 200)
        return next(one for one in found["checks"] if one["part"] == "disk")

    assert (await disk())["ok"]
    await gate.at(99)
    assert await disk() == {"part": "disk", "ok": False, "detail": "10% free."}
    await gate.at(FULL)
    assert "No images are taken" in str((await disk())["detail"])
    metrics = (await gate.client.get("/metrics")).text
    assert 'sluse_intake_stopped{because="disk"} 1.0' in metrics
    assert "sluse_disk_free_bytes 81920.0" in metrics


async def _stow(gate: Gate) -> httpx.Response:
    body = (
        b"--b\r\nContent-Type: application/dicom\r\n\r\n" + gate.image.read_bytes() + b"\r\n--b--"
    )
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return await gate.client.post(
        "/dicom-web/studies", content=body,
        headers={"content-type": kind, "accept": "application/dicom+json"},
    )  # fmt: skip
