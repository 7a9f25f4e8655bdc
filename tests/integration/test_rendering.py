"""Previews, renderings and thumbnails over a real server, and decoders that misbehave."""

import asyncio
import dataclasses
import io
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydantic import SecretStr
from pydicom import Dataset
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.api import main
from services.api.rendering import renderer
from services.api.rendering.renderer import Renderer, Source
from services.api.rendering.wishes import Failure, Wish
from shared.clock import now
from shared.events import InstanceReceived
from shared.ledger.tables import Instance, Series, WithdrawnStudy, core
from shared.runtime import Runtime
from shared.settings import Settings
from tests.corpus import all_files, read, storage_objects
from tests.helpers import arrive, handle, part10, received_consumer, rows
from tests.integration.test_dicomweb import body as parts_of
from tests.integration.test_dicomweb import catalogue, stow

BOTH = pytest.mark.parametrize("settings", ["sqlite", "postgres"], indirect=True)
BY_NAME = {path.name: path for path in all_files()}
CT = BY_NAME["CT_small.dcm"]


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if getattr(request, "param", "sqlite") == "sqlite":
        return settings
    url = SecretStr(request.getfixturevalue("postgres_url"))
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
async def web(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    ports: list[int] = []
    opened = dataclasses.replace(runtime, opened=lambda _, port: ports.append(port))
    stop = asyncio.Event()
    running = asyncio.create_task(main.run(opened, stop))
    while not ports and not running.done():
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{ports[0]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        yield client
    stop.set()
    await running


async def held(runtime: Runtime, *files: Dataset | Path) -> None:
    """Have files arrive and be catalogued."""
    contents = [one.read_bytes() if isinstance(one, Path) else part10(one) for one in files]
    keys = arrive(runtime, contents)
    for start in range(0, len(keys), 64):
        await handle(
            received_consumer(runtime), InstanceReceived(keys=tuple(keys[start : start + 64]))
        )


def where(one: Dataset) -> str:
    return (
        f"/dicom-web/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}"
        f"/instances/{one.SOPInstanceUID}"
    )


def picture(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


# Previews


@BOTH
async def test_a_series_is_shown_by_the_image_in_its_middle(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    images = Maker(1, size=64).ct(5).instances
    for number, image in enumerate(images, start=1):
        image.PixelData = np.full((64, 64), number * 10, np.uint16).tobytes()
        image.WindowCenter, image.WindowWidth = 128, 256
        image.RescaleIntercept, image.RescaleSlope = 0, 1
    # Not in their order: InstanceNumber says which is in the middle.
    await held(runtime, *[images[at] for at in (2, 4, 0, 3, 1)])
    (series,) = await rows(runtime, Series)
    answer = await web.get(f"/api/v1/series/{series.id}/preview")
    assert answer.headers["content-type"] == "image/png"
    shown = picture(answer)
    assert shown.shape == (192, 192) and set(shown.flat) == {30}
    assert picture(await web.get(f"/api/v1/series/{series.id}/preview?size=64")).shape == (64, 64)
    for size in (63, 1025, "x"):
        refused = await web.get(f"/api/v1/series/{series.id}/preview?size={size}")
        assert refused.status_code == 422
    assert (await web.get("/api/v1/series/999/preview")).status_code == 404


async def test_who_has_the_preview_is_not_sent_it_again(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    (image,) = Maker(1, size=32).ct(1).instances
    await held(runtime, image)
    (series,) = await rows(runtime, Series)
    path = f"/api/v1/series/{series.id}/preview"
    first = await web.get(path)
    assert first.headers["cache-control"] == "no-store"
    tag = first.headers["etag"]
    again = await web.get(path, headers={"if-none-match": f'"x", W/{tag}'})
    assert again.status_code == 304 and not again.content and again.headers["etag"] == tag
    assert (await web.get(path + "?size=64", headers={"if-none-match": tag})).status_code == 200
    image.PixelData = bytes(len(image.PixelData))
    await held(runtime, image)
    changed = await web.get(path, headers={"if-none-match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


async def test_what_is_no_image_is_shown_as_its_modality(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    broken = read(BY_NAME["CT_small.dcm"])
    broken.SeriesInstanceUID, broken.PixelData = "1.2.3.4.5", bytes(10)
    await held(runtime, BY_NAME["test-SR.dcm"], BY_NAME["waveform_ecg.dcm"], broken)
    shown = set()
    for series in await rows(runtime, Series):
        answer = await web.get(f"/api/v1/series/{series.id}/preview")
        assert picture(answer).shape == (192, 192)
        assert "etag" not in answer.headers
        shown.add(answer.content)
    assert len(shown) == 3
    async with runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Instance)).values(
            spool_key="received/1.2/1.2/1.2.3.dcm"))  # fmt: skip
    for series in await rows(runtime, Series):
        answer = await web.get(f"/api/v1/series/{series.id}/preview?size=100")
        assert picture(answer).shape == (100, 100)  # a file that is missing


async def test_every_bundled_series_has_a_preview(runtime: Runtime, web: httpx.AsyncClient) -> None:
    await held(runtime, *storage_objects())
    series = await rows(runtime, Series)
    assert len(series) > 40
    with_image = 0
    for one in series:
        answer = await web.get(f"/api/v1/series/{one.id}/preview?size=96")
        assert max(picture(answer).shape[:2]) == 96
        with_image += "etag" in answer.headers
    assert with_image > 30


@BOTH
async def test_withdrawn_studies_are_not_shown(runtime: Runtime, web: httpx.AsyncClient) -> None:
    (image,) = Maker(1, size=32).ct(1).instances
    await held(runtime, image)
    (series,) = await rows(runtime, Series)
    paths = [
        f"/api/v1/series/{series.id}/preview",
        f"{where(image)}/rendered",
        f"{where(image)}/thumbnail",
        f"/dicom-web/studies/{image.StudyInstanceUID}/thumbnail",
    ]
    for path in paths:
        assert (await web.get(path)).status_code == 200
    async with runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(WithdrawnStudy)).values(
                study_instance_uid=image.StudyInstanceUID, withdrawn_at=now()
            )
        )
    for path in paths:
        assert (await web.get(path)).status_code == 404


# DICOMweb


@BOTH
async def test_the_media_type_is_what_the_client_likes(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    (image,) = Maker(1, size=32).ct(1).instances
    await held(runtime, image)
    url = f"{where(image)}/rendered"
    for accept, kind in (
        ("*/*", "image/jpeg"), ("image/png", "image/png"), ("image/*", "image/jpeg"),
        ("image/jpeg;q=0.5, image/png", "image/png"),
        ("image/webp, image/jpeg;q=0.1", "image/jpeg"),
    ):  # fmt: skip
        answer = await web.get(url, headers={"accept": accept})
        assert answer.headers["content-type"] == kind, accept
        assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    assert (await web.get(f"{url}?accept=image/png")).headers["content-type"] == "image/png"
    for accept in ("image/gif", "application/dicom", "text/html"):
        assert (await web.get(url, headers={"accept": accept})).status_code == 406
    related = 'multipart/related; type="image/png"'
    answer = await web.get(url, headers={"accept": related})
    assert answer.headers["content-type"].startswith('multipart/related; type="image/png"')
    assert answer.content.count(b"\x89PNG") == 1
    assert (await web.get(f"{where(image)[:-1]}/rendered")).status_code == 404


async def test_window_and_viewport_are_applied(runtime: Runtime, web: httpx.AsyncClient) -> None:
    await held(runtime, CT)
    url = f"{where(read(CT))}/rendered?accept=image/png"
    hounsfield = read(CT).pixel_array + float(read(CT).RescaleIntercept)
    shown = picture(await web.get(f"{url}&window=0,200,linear-exact"))
    assert np.abs(shown - np.clip(hounsfield / 200 + 0.5, 0, 1) * 255).max() <= 1
    cut = picture(await web.get(f"{url}&window=0,200,linear-exact&viewport=16,16,8,4,16,16"))
    assert cut.tolist() == shown[4:20, 8:24].tolist()
    assert picture(await web.get(f"{url}&viewport=300,50")).shape == (50, 50)
    for wrong in ("viewport=0,0", "viewport=9,9,0,0,129,1", "window=1", "window=1,2,x", "x=1"):
        answer = await web.get(f"{url}&{wrong}")
        assert answer.status_code == 400, wrong
        assert answer.headers["content-type"] == "application/problem+json"
    warned = await web.get(f"{url}&annotation=patient")
    assert "annotation" in warned.headers["warning"]
    assert np.array_equal(picture(warned), picture(await web.get(url)))


async def test_frames_are_drawn_one_by_one(runtime: Runtime, web: httpx.AsyncClient) -> None:
    path = BY_NAME["SC_rgb_rle_2frame.dcm"]
    await held(runtime, path)
    url, frames = where(read(path)), read(path).pixel_array
    png = {"accept": "image/png"}
    for number in (1, 2):
        answer = await web.get(f"{url}/frames/{number}/rendered", headers=png)
        assert np.array_equal(picture(answer), frames[number - 1])
        assert answer.headers["content-location"].endswith(f"/frames/{number}/rendered")
    assert np.array_equal(picture(await web.get(f"{url}/rendered", headers=png)), frames[1])
    assert picture(await web.get(f"{url}/frames/1/thumbnail")).shape == (192, 192, 3)
    several = await web.get(
        f"{url}/frames/2,1,2/rendered", headers={"accept": 'multipart/related; type="image/png"'}
    )
    assert several.content.count(b"\x89PNG") == 3
    assert (await web.get(f"{url}/frames/1,2/rendered")).content.count(b"\xff\xd8\xff") == 2
    assert (await web.get(f"{url}/frames/1,2/rendered", headers=png)).status_code == 406
    for wrong, status in (("3", 404), ("0", 404), ("x", 400), (",".join(["1"] * 65), 400)):
        assert (await web.get(f"{url}/frames/{wrong}/rendered")).status_code == status


async def test_thumbnails(runtime: Runtime, web: httpx.AsyncClient) -> None:
    image, report = Maker(1, size=256).ct(1).instances[0], read(BY_NAME["test-SR.dcm"])
    report.StudyInstanceUID = image.StudyInstanceUID
    report.PatientID, report.PatientName = image.PatientID, image.PatientName
    await held(runtime, report, image)
    study = f"/dicom-web/studies/{image.StudyInstanceUID}"
    series = f"{study}/series/{image.SeriesInstanceUID}"
    shown = await web.get(f"{study}/thumbnail")  # of the image, not of the report
    assert shown.headers["content-type"] == "image/jpeg" and "etag" in shown.headers
    assert picture(shown).shape == (192, 192)
    for path in (series, where(image)):
        assert (await web.get(f"{path}/thumbnail")).content == shown.content
    small = await web.get(f"{series}/thumbnail?viewport=50,20", headers={"accept": "image/png"})
    assert picture(small).shape == (20, 20)
    assert (await web.get(f"{series}/thumbnail?viewport=50,20,1,1")).status_code == 400
    placeholder = await web.get(f"{where(report)}/thumbnail?viewport=50,20")
    assert picture(placeholder).shape == (20, 50) and "etag" not in placeholder.headers
    assert (await web.get(f"{where(report)}/rendered")).status_code == 406
    assert (await web.get("/dicom-web/studies/1.2.3/thumbnail")).status_code == 404
    assert (await web.get("/dicom-web/studies/..%2fx/thumbnail")).status_code == 404


async def test_an_ordinary_client_is_given_pictures(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    await held(runtime, CT)
    one = read(CT)
    uids = (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
    client = DICOMwebClient(f"{web.base_url}/dicom-web".replace("//dicom", "/dicom"))

    def look() -> None:
        any_kind = client.retrieve_instance_rendered(*uids)
        assert Image.open(io.BytesIO(any_kind)).format == "JPEG"
        png = client.retrieve_instance_rendered(
            *uids, media_types=("image/png",), params={"window": "0,200,linear"}
        )
        assert Image.open(io.BytesIO(png)).size == (128, 128)
        frame = client.retrieve_instance_frames_rendered(
            *uids, frame_numbers=[1], media_types=("image/jpeg",), params={"quality": 80}
        )
        assert Image.open(io.BytesIO(frame)).format == "JPEG"

    await asyncio.to_thread(look)


async def test_what_came_over_stow_is_drawn_in_its_newest_revision(
    runtime: Runtime, web: httpx.AsyncClient
) -> None:
    one = read(CT)
    async with httpx.AsyncClient(base_url=f"{web.base_url}/dicom-web", trust_env=False) as client:
        for value in (0, 1):
            one.PixelData = np.full((128, 128), 1024 + value * 99, np.int16).tobytes()
            assert (await stow(client, parts_of(part10(one)))).status_code == 200
            await catalogue(runtime)
            answer = await web.get(f"{where(one)}/rendered?accept=image/png&window=0,100")
            assert (picture(answer) == 255).all() == bool(value)


# What misbehaves


def _hangs(*_: object) -> None:
    time.sleep(60)


def _dies(*_: object) -> None:
    os.kill(os.getpid(), 9)


def _devours(*_: object) -> None:
    _ = np.zeros(5 << 30, np.uint8)  # never touched


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Renderer]:
    made = Renderer(
        settings.model_copy(update={"rendering_timeout": 3.0, "rendering_processes": 1})
    )
    yield made
    await asyncio.to_thread(made.close)


@pytest.mark.parametrize("decoder", [_hangs, _dies, _devours])
async def test_a_decoder_that_hangs_dies_or_devours_takes_nothing_with_it(
    impatient: Renderer, decoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(renderer, "_draw", decoder)
        assert await impatient.picture(Source(1, 1, CT), Wish()) is Failure.UNDECODABLE
    # Remembered for a while: nobody waits for it again.
    begun = time.monotonic()
    assert await impatient.picture(Source(1, 1, CT), Wish()) is Failure.UNDECODABLE
    assert time.monotonic() - begun < 0.1
    assert isinstance(await impatient.picture(Source(2, 1, CT), Wish()), bytes)
    assert await impatient.picture(Source(3, 1, CT / "x"), Wish()) is Failure.MISSING


async def test_processes_that_broke_down_are_made_anew(impatient: Renderer) -> None:
    assert isinstance(await impatient.picture(Source(1, 1, CT), Wish()), bytes)
    assert impatient._pool is not None
    await asyncio.to_thread(impatient._pool.stop)
    await asyncio.to_thread(impatient._pool.join)
    assert isinstance(await impatient.picture(Source(2, 1, CT), Wish()), bytes)


async def test_who_waits_too_long_is_told_to_try_again(
    impatient: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await impatient.picture(Source(1, 1, CT), Wish()), bytes)
    with monkeypatch.context() as patched:
        patched.setattr(renderer, "_draw", _hangs)
        first = asyncio.create_task(impatient.picture(Source(2, 1, CT), Wish()))
        await asyncio.sleep(0.1)
        patched.setattr(impatient, "_timeout", 0.5)
        assert await impatient.picture(Source(3, 1, CT), Wish()) is Failure.BUSY
        patched.setattr(renderer, "_MOST_WAITING", 1)
        assert await impatient.picture(Source(4, 1, CT), Wish()) is Failure.BUSY
        # What is drawn already needs no turn.
        assert isinstance(await impatient.picture(Source(1, 1, CT), Wish()), bytes)
        assert await first is Failure.UNDECODABLE
    assert isinstance(await impatient.picture(Source(3, 1, CT), Wish()), bytes)


async def test_being_busy_is_a_503(
    runtime: Runtime, web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(runtime, CT)
    (series,) = await rows(runtime, Series)
    monkeypatch.setattr(renderer, "_MOST_WAITING", 0)
    for path in (f"/api/v1/series/{series.id}/preview", f"{where(read(CT))}/rendered",
                 f"{where(read(CT))}/thumbnail"):  # fmt: skip
        answer = await web.get(path)
        assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_what_is_asked_for_twice_at_once_is_drawn_once(
    impatient: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = 0
    original = impatient._drawn

    async def counted(*arguments: Any) -> Any:
        nonlocal drawn
        drawn += 1
        return await original(*arguments)

    monkeypatch.setattr(impatient, "_drawn", counted)
    one, hasty, other = (
        asyncio.create_task(impatient.picture(Source(1, 1, CT), Wish())) for _ in range(3)
    )
    await asyncio.sleep(0.01)
    hasty.cancel()
    assert await one == await other
    await impatient.picture(Source(1, 1, CT), Wish())
    assert drawn == 1
    await impatient.picture(Source(1, 2, CT), Wish())
    assert drawn == 2


async def test_nothing_of_an_image_is_logged(
    runtime: Runtime, web: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = read(CT)
    broken.PixelData, broken.PatientName = bytes(10), "Nordmann^Kari"
    await held(runtime, broken)
    (series,) = await rows(runtime, Series)
    capsys.readouterr()
    await web.get(f"/api/v1/series/{series.id}/preview")
    out, err = capsys.readouterr()
    for secret in ("Nordmann", broken.StudyInstanceUID, broken.PatientID, "received/"):
        assert secret not in out + err
