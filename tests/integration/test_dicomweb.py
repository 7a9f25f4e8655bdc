"""DICOMweb over a real server: dicomweb-client as the ordinary client, and raw requests."""

import asyncio
import dataclasses
import errno
import json
import os
import resource
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from pydantic import SecretStr
from pydicom import Dataset
from sqlalchemy import insert

from demo.phantoms import Maker
from services.api import main
from services.api.app import create_app
from shared.bus import CLASSIFIER_RECEIVED
from shared.clock import now
from shared.events import AssociationClosed, InstanceReceived
from shared.ledger.tables import Association, Instance, WithdrawnStudy, core
from shared.runtime import Runtime
from shared.settings import Settings
from tests.corpus import read, storage_objects
from tests.helpers import handle, make_project, part10, received_consumer, rows
from tests.integration.test_bus import Recorder

BOUNDARY = "lock"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
NOT_FOUND_UID = "1.2.3.4"


BOTH = pytest.mark.parametrize("settings", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if getattr(request, "param", "sqlite") == "sqlite":
        return settings
    if request.param == "one at a time":
        return settings.model_copy(update={"stow_max_requests": 1})
    url = SecretStr(request.getfixturevalue("postgres_url"))
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
async def url(runtime: Runtime) -> AsyncIterator[str]:
    ports: list[int] = []
    opened = dataclasses.replace(runtime, opened=lambda _, port: ports.append(port))
    stop = asyncio.Event()
    running = asyncio.create_task(main.run(opened, stop))
    while not ports and not running.done():
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{ports[0]}/dicom-web"
    stop.set()
    await running


@pytest.fixture
async def web(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as opened:
        yield opened


@pytest.fixture
async def heard(runtime: Runtime) -> AsyncIterator[Recorder]:
    recorder = Recorder(queue=CLASSIFIER_RECEIVED)
    async with runtime.bus.consuming(recorder):
        yield recorder


def body(*parts: bytes, kind: str = "application/dicom", end: bool = True) -> bytes:
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode()
    return b"".join(head + part for part in parts) + (b"\r\n--lock--\r\n" if end else b"")


async def stow(
    web: httpx.AsyncClient, content: Any, path: str = "/studies", **headers: str
) -> httpx.Response:
    return await web.post(path, content=content, headers={"content-type": RELATED} | headers)


async def catalogue(runtime: Runtime) -> None:
    """Let the classifier take what stands in the inbox."""
    keys = sorted(
        key
        for one in runtime.spool.waiting_associations()
        for key in runtime.spool.waiting_files(one, now().timestamp() + 60)
    )
    consumer = received_consumer(runtime)
    for start in range(0, len(keys), 64):
        await handle(consumer, InstanceReceived(keys=tuple(keys[start : start + 64])))


async def held(runtime: Runtime, web: httpx.AsyncClient, files: list[Dataset]) -> None:
    assert (await stow(web, body(*map(part10, files)))).status_code == 200
    await catalogue(runtime)


def reasons(answer: httpx.Response, sequence: str = "00081198") -> list[int]:
    items = answer.json().get(sequence, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


# STOW-RS


async def test_what_is_stored_is_announced_and_names_its_sender(
    runtime: Runtime, web: httpx.AsyncClient, heard: Recorder
) -> None:
    files = Maker(1, size=16).ct(3).instances
    answer = await stow(web, body(*map(part10, files)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    items = answer.json()["00081199"]["Value"]
    assert [i["00081155"]["Value"][0] for i in items] == [f.SOPInstanceUID for f in files]
    async with asyncio.timeout(10):
        while not any(isinstance(m.event, AssociationClosed) for m in heard.messages):
            await asyncio.sleep(0.02)
    keys = [
        k for m in heard.messages if isinstance(m.event, InstanceReceived) for k in m.event.keys
    ]
    assert len(keys) == 3
    sender = runtime.spool.read_association(runtime.spool.association_of(keys[0]))
    assert sender is not None and sender.completed
    assert (sender.calling_aet, sender.called_aet) == ("STOW", "SLUSE")
    assert runtime.spool.path(keys[0]).read_bytes() == part10(files[0])


@BOTH
async def test_a_projects_title_can_be_addressed(runtime: Runtime, web: httpx.AsyncClient) -> None:
    await make_project(runtime, "BICAM")
    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    assert (await stow(web, content, "/aet/NOSUCH/studies")).status_code == 404
    assert runtime.spool.waiting_associations() == []
    assert (await stow(web, content, "/aet/BICAM/studies")).status_code == 200
    await catalogue(runtime)
    (sender,) = await rows(runtime, Association)
    assert sender.called_aet == "BICAM"


async def test_failures_are_told_one_by_one(runtime: Runtime, web: httpx.AsyncClient) -> None:
    mine, other = Maker(1, size=16).ct(1).instances[0], Maker(2, size=16).mr(1).instances[0]
    unnamed = Maker(3, size=16).ct(1).instances[0]
    del unnamed.StudyInstanceUID
    whole = part10(mine)
    parts = body(whole, part10(other), b"no DICOM", whole[:-9], part10(unnamed))
    answer = await stow(web, parts, f"/studies/{mine.StudyInstanceUID}")
    assert answer.status_code == 202
    assert reasons(answer) == [0xC409]
    assert reasons(answer, "0008119A") == [0xC000] * 3
    assert len(answer.json()["00081199"]["Value"]) == 1
    none = await stow(web, body(b"no DICOM"))
    assert none.status_code == 409 and reasons(none, "0008119A") == [0xC000]
    assert not list((runtime.settings.spool_path / "tmp").iterdir())


async def test_the_answer_may_be_xml(web: httpx.AsyncClient) -> None:
    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    answer = await stow(web, content, accept="application/dicom+xml")
    root = ElementTree.fromstring(answer.content)
    assert {one.get("keyword") for one in root} == {"RetrieveURL", "ReferencedSOPSequence"}
    assert (await stow(web, content, accept="text/html")).status_code == 406


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/dicom", 415), ("multipart/form-data; boundary=lock", 415), ("", 415),
     ('multipart/related; type="application/dicom+json"; boundary=lock', 415),
     ('multipart/related; type="application/dicom"', 400),
     (f'multipart/related; type="application/dicom"; boundary={"x" * 201}', 400),
     ('multipart/related; type="application/dicom"; boundary=other', 400)],
)  # fmt: skip
async def test_a_wrong_body_is_refused(web: httpx.AsyncClient, kind: str, status: int) -> None:
    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    answer = await web.post("/studies", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_truncated_body_keeps_what_was_whole(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    one, two = (part10(f) for f in Maker(1, size=16).ct(2).instances)
    answer = await stow(web, body(one, two[:500], end=False))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    (association,) = runtime.spool.waiting_associations()
    sender = runtime.spool.read_association(association)
    assert sender is not None and sender.closed_at and not sender.completed
    assert (await stow(web, body(one[:500], end=False))).status_code == 400
    assert (await stow(web, b"")).status_code == 400


@BOTH
@pytest.mark.parametrize("uid", ["..%2f..%2fetc", "1.2.x", "1" * 65, "%00"])
async def test_uids_are_no_paths(runtime: Runtime, web: httpx.AsyncClient, uid: str) -> None:
    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    assert (await stow(web, content, f"/studies/{uid}")).status_code in (400, 404)
    assert runtime.spool.waiting_associations() == []
    assert (await stow(web, content, f"/aet/{uid}/studies")).status_code == 404
    assert (await web.get(f"/studies/{uid}/metadata")).status_code == 404
    assert (await web.get(f"/studies/{uid}/series")).status_code in (204, 404)
    evil = Maker(1, size=16).ct(1).instances[0]
    raw = part10(evil).replace(evil.SeriesInstanceUID.encode()[:5], b"../..")
    assert (await stow(web, body(raw))).status_code == 409


async def test_a_full_disk_is_told_and_leaves_nothing(
    runtime: Runtime, web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        answer = await stow(web, content)
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert not list((runtime.settings.spool_path / "tmp").iterdir())
    assert (await stow(web, content)).status_code == 200


@pytest.mark.parametrize("settings", ["one at a time"], indirect=True)
async def test_too_many_at_once_are_told_to_try_again(web: httpx.AsyncClient) -> None:
    content = body(part10(Maker(1, size=16).ct(1).instances[0]))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield content[:100]
        begun.set()
        await go_on.wait()
        yield content[100:]

    first = asyncio.create_task(
        web.post("/studies", content=slowly(), headers={"content-type": RELATED})
    )
    await begun.wait()
    await asyncio.sleep(0.2)
    refused = await stow(web, content)
    assert refused.status_code == 503 and refused.headers["retry-after"]
    go_on.set()
    assert (await first).status_code == 200
    assert (await stow(web, content)).status_code == 200


@BOTH
async def test_withdrawn_studies_are_neither_taken_nor_shown(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    files = Maker(1, size=16).ct(1).instances
    await held(runtime, web, files)
    uid = files[0].StudyInstanceUID
    async with runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(WithdrawnStudy)).values(study_instance_uid=uid, withdrawn_at=now())
        )
    answer = await stow(web, body(part10(files[0])))
    assert answer.status_code == 409 and reasons(answer) == [0x0124]
    assert (await web.get("/studies")).status_code == 204
    for path in ("", "/metadata"):
        assert (await web.get(f"/studies/{uid}{path}")).status_code == 404
    assert (await web.get(f"/studies/{uid}/series")).status_code == 204


async def test_a_thousand_parts_in_one_request(
    runtime: Runtime, web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    whole = part10(Maker(1, size=16).ct(1).instances[0])
    answer = await stow(web, body(*[whole] * 1000))
    assert answer.status_code == 200
    assert len(answer.json()["00081199"]["Value"]) == 1000


async def test_a_large_part_passes_in_bounded_memory(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    instance = Maker(1, size=16).ct(1).instances[0]
    piece = bytes(1 << 20)
    instance.Rows, instance.Columns, instance.PixelData = 1, 1, b"\0\0"
    whole = part10(instance)
    assert whole.endswith(b"\x02\0\0\0\0\0")
    head = whole[:-6] + (300 << 20).to_bytes(4, "little")

    async def content() -> AsyncIterator[bytes]:
        yield body(head, end=False)
        for _ in range(300):
            yield piece
        yield b"\r\n--lock--\r\n"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = await stow(web, content())
    assert answer.status_code == 200, answer.text
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60 << 10  # KiB; client and server are both in here
    await catalogue(runtime)
    (row,) = await rows(runtime, Instance)
    assert row.size > 300 << 20
    async with web.stream("GET", f"/studies/{instance.StudyInstanceUID}") as got:
        total = sum([len(chunk) async for chunk in got.aiter_raw()])
    assert total == int(got.headers["content-length"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 << 10


# dicomweb-client


async def test_the_whole_corpus_makes_the_round_trip(
    runtime: Runtime, url: str, web: httpx.AsyncClient
) -> None:
    sent = [path.read_bytes() for path in storage_objects()]
    answer = await stow(web, body(*sent))
    assert answer.status_code == 200, reasons(answer, "0008119A")
    await catalogue(runtime)
    client = DICOMwebClient(url)
    found = await asyncio.to_thread(client.search_for_instances, limit=1000)
    catalogued = await rows(runtime, Instance)
    assert len(found) == len(catalogued) > 100
    by_uid = {read(path).SOPInstanceUID: path for path in storage_objects()}
    by_row = {row.sop_instance_uid: row for row in catalogued}
    compared = 0
    for one in found:
        uid = one["00080018"]["Value"][0]
        file = runtime.spool.path(by_row[uid].spool_key)
        assert file.read_bytes() in sent
        held = (one["0020000D"]["Value"][0], one["0020000E"]["Value"][0], uid)
        got = await web.get("/studies/{}/series/{}/instances/{}".format(*held))
        assert got.status_code == 200 and file.read_bytes() in got.content
        described = await web.get("/studies/{}/series/{}/instances/{}/metadata".format(*held))
        (header,) = described.json()
        assert header["00080018"]["Value"] == [uid]
        pixels = read(by_uid[uid]).get("PixelData")
        if pixels is not None and header["7FE00010"]["vr"] != "SQ":
            got = await web.get(header["7FE00010"]["BulkDataURI"])
            # Compressed ones come frame by frame.
            whole = got.status_code == 200 and bytes(pixels) in got.content
            compared += whole
    assert compared > 50


@BOTH
async def test_an_ordinary_client_finds_and_retrieves(runtime: Runtime, url: str) -> None:
    files = [*Maker(1, size=16).ct(3).instances, *Maker(2, size=16).mr(2).instances]
    for file in files:
        file.preamble = bytes(128)  # or the client leaves out what makes it a file
    client = DICOMwebClient(url)
    stored = await asyncio.to_thread(client.store_instances, files)
    assert len(stored.ReferencedSOPSequence) == 5
    await catalogue(runtime)
    ct = files[0]
    uids = (ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID)

    def look() -> None:
        (study,) = client.search_for_studies(search_filters={"ModalitiesInStudy": "CT"})
        assert study["0020000D"]["Value"] == [ct.StudyInstanceUID]
        assert study["00201208"]["Value"] == [3]
        (series,) = client.search_for_series(uids[0])
        assert series["0020000E"]["Value"] == [ct.SeriesInstanceUID]
        assert len(client.search_for_instances(*uids[:2])) == 3
        assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
        got = client.retrieve_study(uids[0])
        assert sorted(one.SOPInstanceUID for one in got) == sorted(
            one.SOPInstanceUID for one in files[:3]
        )
        (same,) = [one for one in got if one.SOPInstanceUID == ct.SOPInstanceUID]
        assert same == ct and same.PixelData == ct.PixelData
        assert client.retrieve_instance(*uids).PixelData == ct.PixelData
        assert len(client.retrieve_series(*uids[:2])) == 3
        assert client.retrieve_instance_metadata(*uids)["00080018"]["Value"] == [uids[2]]
        assert len(client.retrieve_study_metadata(uids[0])) == 3
        (frame,) = client.retrieve_instance_frames(*uids, frame_numbers=[1])
        assert frame == ct.PixelData
        (bulk,) = client.retrieve_bulkdata(
            client.retrieve_instance_metadata(*uids)["7FE00010"]["BulkDataURI"]
        )
        assert bulk == ct.PixelData

    await asyncio.to_thread(look)


# QIDO-RS


@BOTH
async def test_searches(runtime: Runtime, web: httpx.AsyncClient) -> None:
    one, two = Maker(1, size=16).ct(1).instances[0], Maker(2, size=16).mr(1).instances[0]
    one.PatientName, one.PatientID, one.StudyDate = "Nordmann^Kari", "A_1", "20200214"
    two.PatientName, two.PatientID, two.StudyDate = "Hansen^Ola", "AX1", ""
    await held(runtime, web, [one, two])

    async def found(**parameters: Any) -> list[str]:
        answer = await web.get("/studies", params=parameters)
        assert answer.status_code in (200, 204), answer.text
        studies = answer.json() if answer.status_code == 200 else []
        return [study["00100020"]["Value"][0] for study in studies]

    both = f"{one.StudyInstanceUID},{two.StudyInstanceUID}"
    assert await found() == ["AX1", "A_1"]
    assert await found(limit=1) == ["AX1"] and await found(limit=1, offset=1) == ["A_1"]
    assert await found(StudyInstanceUID=both) == ["AX1", "A_1"]
    assert await found(PatientName="nordmann*") == ["A_1"]
    assert await found(PatientName="Hansen^Ola") == ["AX1"]
    assert await found(**{"00100020": "A_1"}) == ["A_1"]
    assert await found(PatientID="A_?") == ["A_1"]
    assert await found(PatientID="%") == [] == await found(PatientID="' OR 1=1 --")
    assert await found(StudyDate="20200101-20201231") == ["A_1"]
    assert await found(StudyDate="-20200213") == [] and await found(StudyDate="20200214-")
    assert await found(ModalitiesInStudy="PT,MR") == ["AX1"]
    assert await found(PatientID="") == ["AX1", "A_1"]


@BOTH
async def test_a_search_says_what_it_can_not_do(runtime: Runtime, web: httpx.AsyncClient) -> None:
    await held(runtime, web, Maker(1, size=16).ct(2).instances)
    warned = await web.get("/studies?fuzzymatching=true&StudyTime=1200&limit=1")
    assert "fuzzymatching" in warned.headers["warning"] and "StudyTime" in warned.headers["warning"]
    assert "additional" in (await web.get("/instances?limit=1")).headers["warning"]
    for wrong in ("NoSuchThing=1", "limit=x", "limit=-1", "StudyDate=x", "includefield=Nothing",
                  "fuzzymatching=perhaps"):  # fmt: skip
        answer = await web.get(f"/studies?{wrong}")
        assert answer.status_code == 400 and answer.json()["errors"], wrong
    (one,) = (await web.get("/series?includefield=Manufacturer,00080090")).json()
    assert one["00080070"]["Value"] and one["00080060"]["Value"] == ["CT"]
    xml = await web.get(
        "/studies", headers={"accept": 'multipart/related; type="application/dicom+xml"'}
    )
    assert b"NativeDicomModel" in xml.content


# WADO-RS


async def test_what_can_not_be_given_is_refused(runtime: Runtime, web: httpx.AsyncClient) -> None:
    (one,) = Maker(1, size=16).ct(1).instances
    await held(runtime, web, [one])
    study = f"/studies/{one.StudyInstanceUID}"
    instance = f"{study}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"
    jpeg = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50'
    for path, accept in ((study, jpeg), (study, "image/png"), (f"{study}/metadata", "text/html"),
                         (f"{instance}/frames/1", 'multipart/related; type="image/jpeg"'),
                         (f"{instance}/rendered", "image/tiff")):  # fmt: skip
        assert (await web.get(path, headers={"accept": accept})).status_code == 406, path
    assert (await web.get(f"{instance}/frames/2")).status_code == 404
    assert (await web.get(f"{instance}/frames/x")).status_code == 400
    assert (await web.get(f"{instance}/bulkdata/../../x")).status_code == 404
    assert (await web.get(f"{instance}/bulkdata/00100010")).status_code == 404
    assert (await web.get(f"/studies/{NOT_FOUND_UID}")).status_code == 404
    alone = await web.get(instance, headers={"accept": "application/dicom"})
    assert alone.content == part10(one)


async def test_uncompressed_files_are_rewritten_on_request(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    path = next(p for p in storage_objects() if p.name == "MR_small_implicit.dcm")
    assert (await stow(web, body(path.read_bytes()))).status_code == 200
    await catalogue(runtime)
    explicit = "1.2.840.10008.1.2.1"
    wanted = f'multipart/related; type="application/dicom"; transfer-syntax={explicit}'
    original = read(path)
    got = await web.get(f"/studies/{original.StudyInstanceUID}", headers={"accept": wanted})
    assert got.status_code == 200 and f"transfer-syntax={explicit}".encode() in got.content
    assert bytes(original.PixelData) in got.content


@BOTH
async def test_the_newest_revision_is_given(runtime: Runtime, web: httpx.AsyncClient) -> None:
    (one,) = Maker(1, size=16).ct(1).instances
    await held(runtime, web, [one])
    one.SeriesDescription = "again"
    await held(runtime, web, [one])
    (header,) = (await web.get(f"/studies/{one.StudyInstanceUID}/metadata")).json()
    assert header["0008103E"]["Value"] == ["again"]
    assert json.dumps(header)


async def test_what_is_too_large_is_refused(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = runtime.settings.model_copy(
        update={"stow_max_instance": 5000, "stow_max_request": 20_000}
    )
    limited = dataclasses.replace(runtime, settings=small)
    transport = httpx.ASGITransport(create_app(limited))
    good = part10(Maker(1, size=16).ct(1).instances[0])
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/dicom-web"
    ) as client:
        assert (await stow(client, body(good + bytes(6000)))).status_code == 413
        mixed = await stow(client, body(good + bytes(6000), good))
        assert mixed.status_code == 202 and reasons(mixed, "0008119A") == [0xA700]
        assert (await stow(client, body(*[good] * 20))).status_code == 413

        async def unannounced() -> AsyncIterator[bytes]:
            yield body(*[good] * 20)

        assert (await stow(client, unannounced())).status_code in (202, 413)
    assert not list((runtime.settings.spool_path / "tmp").iterdir())
