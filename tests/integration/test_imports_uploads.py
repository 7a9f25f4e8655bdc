"""Uploads that are interrupted, doubled, wrong, or too much."""

import asyncio
import dataclasses
import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from services.api import main
from services.api.app import create_app
from services.api.imports import chunks
from shared.ledger.tables import Instance
from shared.runtime import Runtime
from shared.spool import Spool
from tests.helpers import part10, rows, until
from tests.importing import IMPORTS, PIECE, Uploader, catalogue, read_all, staged
from tests.integration.test_api_fixtures import PROJECT, Api

pytest_plugins = ["tests.integration.test_api_fixtures"]

CONTENT = os.urandom(5000)


@pytest.fixture
async def up(client: httpx.AsyncClient, api: Api) -> Uploader:
    await api("POST", "/projects", 201, PROJECT)
    return Uploader(client, chunk=2000)


async def begun(up: Uploader, **files: bytes) -> tuple[int, list[int]]:
    import_id = await up.begin()
    named = await up.name(import_id, files or {"a": CONTENT})
    return import_id, [one["id"] for one in named]


def limited(runtime: Runtime, **knobs: Any) -> Uploader:
    """An uploader to the same Sluse with other settings."""
    other = dataclasses.replace(runtime, settings=runtime.settings.model_copy(update=knobs))
    transport = httpx.ASGITransport(create_app(other), raise_app_exceptions=False)
    return Uploader(httpx.AsyncClient(transport=transport, base_url="http://localhost"))


def refused(answer: httpx.Response, status: int) -> httpx.Response:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer


async def test_an_upload_goes_on_where_it_was(
    any_runtime: Runtime, up: Uploader, client: httpx.AsyncClient
) -> None:
    import_id, (file_id,) = await begun(up)
    answer = await up.piece(import_id, file_id, 0, CONTENT[:2000])
    assert answer.status_code == 204
    assert (answer.headers["upload-offset"], answer.headers["tus-resumable"]) == ("2000", "1.0.0")
    # The browser and the server start anew, and the folder is chosen again.
    again = limited(any_runtime)
    (named,) = await again.name(import_id, {"a": CONTENT})
    assert (named["id"], named["offset"], named["size"]) == (file_id, 2000, 5000)
    assert await again.offset(import_id, file_id) == 2000
    assert await again.upload(import_id, {"a": CONTENT}) == 3000
    (_, file) = staged(any_runtime)
    assert file.read_bytes() == CONTENT
    assert await again.upload(import_id, {"a": CONTENT}) == 0
    head = await client.head(f"{IMPORTS}/{import_id}/files/{file_id}")
    assert (head.headers["upload-length"], head.headers["cache-control"]) == ("5000", "no-store")


async def test_gaps_and_overlaps_are_told_where_the_file_goes_on(
    any_runtime: Runtime, up: Uploader
) -> None:
    import_id, (file_id,) = await begun(up)
    await up.piece(import_id, file_id, 0, CONTENT[:1000])
    for offset in (0, 500, 1001, 5000, 2**52):
        answer = refused(await up.piece(import_id, file_id, offset, b"x"), 409)
        assert answer.headers["upload-offset"] == "1000"
    for offset in ("", "-1", "1e3", "x", "1" * 30, "٣"):
        refused(await up.piece(import_id, file_id, offset.encode(), b"x"), 400)
    refused(await up.piece(import_id, file_id, 1000, CONTENT[1000:] + b"x"), 413)
    assert await up.offset(import_id, file_id) == 1000
    assert (await up.piece(import_id, file_id, 1000, CONTENT[1000:])).status_code == 204
    refused(await up.piece(import_id, file_id, 5000, b"x"), 413)
    (_, file) = staged(any_runtime)
    assert file.read_bytes() == CONTENT


async def test_what_is_no_piece_of_a_file_is_refused(up: Uploader) -> None:
    import_id, (file_id,) = await begun(up)
    path = f"{IMPORTS}/{import_id}/files"
    answer = await up.client.patch(f"{path}/{file_id}", content=b"x")
    refused(answer, 415)
    refused(await up.client.patch(f"{path}/{file_id}", content=b"x", headers=PIECE), 400)
    refused(await up.piece(import_id, 999, 0, b"x"), 404)
    refused(await up.piece(import_id + 1, file_id, 0, b"x"), 404)
    assert (await up.client.head(f"{path}/999")).status_code == 404
    other, _ = await begun(up)
    refused(await up.piece(other, file_id, 0, b"x"), 404)


async def test_what_came_of_a_broken_piece_counts(any_runtime: Runtime, up: Uploader) -> None:
    import_id, (file_id,) = await begun(up)
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": CONTENT[:700], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        pass

    headers = {**PIECE, "upload-offset": "0", "content-length": "2000", "host": "localhost"}
    scope = {
        "type": "http", "method": "PATCH", "path": f"{IMPORTS}/{import_id}/files/{file_id}",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await create_app(any_runtime)(scope, receive, send)  # type: ignore[arg-type]
    assert await up.offset(import_id, file_id) == 700
    assert await up.upload(import_id, {"a": CONTENT}) == 4300
    assert staged(any_runtime)[1].read_bytes() == CONTENT


async def test_what_a_crash_left_behind_the_offset_is_written_over(
    any_runtime: Runtime, up: Uploader
) -> None:
    import_id, (file_id,) = await begun(up)
    await up.piece(import_id, file_id, 0, CONTENT[:1000])
    file = staged(any_runtime)[1]
    with file.open("ab") as torn:
        torn.write(bytes(9000))
    assert await up.offset(import_id, file_id) == 1000
    await up.upload(import_id, {"a": CONTENT})
    assert file.read_bytes() == CONTENT


async def test_of_two_browsers_one_sends_a_file(any_runtime: Runtime, up: Uploader) -> None:
    import_id, (file_id,) = await begun(up)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        arrived.set()
        await go_on.wait()
        yield CONTENT[1000:2000]

    # httpx reads a body whole before it hands it to an application: a real server does not.
    opened: list[int] = []
    stop = asyncio.Event()
    runtime = dataclasses.replace(any_runtime, opened=lambda _, port: opened.append(port))
    running = asyncio.create_task(main.run(runtime, stop))
    while not opened and not running.done():
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{opened[0]}", trust_env=False, timeout=60
    ) as web:
        real = Uploader(web)
        first = asyncio.create_task(real.piece(import_id, file_id, 0, slowly()))
        await arrived.wait()
        await asyncio.sleep(0.3)
        second = refused(await real.piece(import_id, file_id, 0, CONTENT[:10]), 423)
        assert second.headers["retry-after"] == "1"
        go_on.set()
        assert (await first).headers["upload-offset"] == "2000"
        both = await asyncio.gather(
            *(real.piece(import_id, file_id, 2000, CONTENT[2000:]) for _ in range(4))
        )
    stop.set()
    await running
    assert sorted(one.status_code for one in both)[0] == 204
    assert {one.status_code for one in both} <= {204, 409, 423}
    assert [one.status_code for one in both].count(204) == 1
    assert staged(any_runtime)[1].read_bytes() == CONTENT


async def test_nobody_cuts_a_piece_off_that_is_about_to_be_noted(
    any_runtime: Runtime, up: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id, (file_id,) = await begun(up)
    note, arrived, go_on = chunks._note, asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any) -> None:
        arrived.set()
        await go_on.wait()
        await note(*arguments)

    monkeypatch.setattr(chunks, "_note", slowly)
    first = asyncio.create_task(up.piece(import_id, file_id, 0, CONTENT[:2000]))
    await arrived.wait()
    refused(await up.piece(import_id, file_id, 0, CONTENT[:10]), 423)
    go_on.set()
    assert (await first).status_code == 204
    await up.upload(import_id, {"a": CONTENT})
    assert staged(any_runtime)[1].read_bytes() == CONTENT


async def test_a_file_that_got_shorter_on_the_disk_gets_no_hole(
    any_runtime: Runtime, up: Uploader
) -> None:
    import_id, (file_id,) = await begun(up)
    await up.piece(import_id, file_id, 0, CONTENT[:2000])
    os.truncate(staged(any_runtime)[1], 700)
    refused(await up.piece(import_id, file_id, 2000, CONTENT[2000:]), 503)
    # Left out and named once more, it begins anew.
    await up.client.delete(f"{IMPORTS}/{import_id}/files/{file_id}")
    assert await up.upload(import_id, {"a": CONTENT}) == 5000
    assert staged(any_runtime)[-1].read_bytes() == CONTENT


async def test_finishing_waits_until_all_is_there(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    empty = await up.begin()
    await up.finish(empty, 409)
    import_id, (one, _) = await begun(up, a=CONTENT, b=CONTENT)
    await up.upload(import_id, {"a": CONTENT})
    problem = await up.finish(import_id, 409)
    assert "1 files are incomplete" in problem["title"]
    (error,) = problem["errors"]
    assert error["message"] == "0 of 5000 bytes"
    listed = await api("GET", f"/imports/{import_id}/files?incomplete=true", 200)
    (left,) = listed["items"]
    assert left["path"] == "b" and error["field"] == f"files.{left['id']}"
    # A scratched CD does not give it.
    gone = await up.client.delete(f"{IMPORTS}/{import_id}/files/{left['id']}")
    assert gone.status_code == 204
    assert (await up.finish(import_id))["state"] == "reading"
    await up.finish(import_id, 409)
    refused(await up.piece(import_id, one, 5000, b""), 409)
    await api("POST", f"/imports/{import_id}/files", 409, {"files": [{"path": "c", "size": 1}]})
    await api("DELETE", f"/imports/{import_id}/files/{one}", 409)
    await api("DELETE", "/imports/99", 404)


async def test_a_file_that_has_changed_begins_anew_until_it_is_read(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    import_id, (file_id,) = await begun(up)
    await up.piece(import_id, file_id, 0, CONTENT[:1000])
    (changed,) = await up.name(import_id, {"a": CONTENT[:3000]})
    assert changed["id"] != file_id and changed["offset"] == 0
    refused(await up.piece(import_id, file_id, 1000, CONTENT[1000:2000]), 404)
    await up.upload(import_id, {"a": CONTENT[:3000]})
    await up.finish(import_id)
    await read_all(any_runtime)
    answer = await api("POST", f"/imports/{import_id}/files", 409,
                       {"files": [{"path": "a", "size": 9}]})  # fmt: skip
    assert answer["errors"][0]["field"] == f"files.{changed['id']}"
    assert (await api("GET", f"/imports/{import_id}", 200))["state"] == "review"


async def test_names_are_labels(any_runtime: Runtime, api: Api, up: Uploader) -> None:
    import_id = await up.begin()
    names = ["../../evil", "/etc/passwd", "C:\\x", "a\0b\n", "æøå/日本", "x" * 1000, "\ud83d"]
    listed = [{"path": name, "size": 1} for name in names]
    answer = await up.client.post(
        f"{IMPORTS}/{import_id}/files",
        content=json.dumps({"files": listed}),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:  # half a character is no text
        answer = await up.client.post(f"{IMPORTS}/{import_id}/files", json={"files": listed[:-1]})
    for one in answer.json()["files"]:
        assert (await up.piece(import_id, one["id"], 0, b"x")).status_code == 204
    found = [path for path in staged(any_runtime) if path.is_file()]
    assert len(found) == len(answer.json()["files"])
    assert all(path.name.isdecimal() for path in found)
    for wrong in ([], [{"path": "", "size": 1}], [{"path": "a", "size": -1}],
                  [{"path": "a"}], [{"path": "a", "size": 1}] * 2,
                  [{"path": "x" * 1001, "size": 1}]):  # fmt: skip
        await api("POST", f"/imports/{import_id}/files", 422, {"files": wrong})


async def test_limits(any_runtime: Runtime, api: Api, up: Uploader) -> None:
    import_id, (file_id,) = await begun(up)
    path = f"{IMPORTS}/{import_id}/files"

    async def name(other: Uploader, *sizes: int) -> httpx.Response:
        files = [{"path": f"n{n}", "size": size} for n, size in enumerate(sizes)]
        return await other.client.post(path, json={"files": files})

    refused(await name(limited(any_runtime, import_max_files=2), 1, 1), 413)
    refused(await name(limited(any_runtime, import_max_bytes=9000), 2000, 2001), 413)
    listed = await api("GET", f"/imports/{import_id}/files", 200)
    assert [one["path"] for one in listed["items"]] == ["a"]
    small = limited(any_runtime, import_max_chunk=1024)
    refused(await small.piece(import_id, file_id, 0, CONTENT[:1025]), 413)

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield CONTENT[:500]

    refused(await small.piece(import_id, file_id, 0, unannounced()), 413)
    assert await up.offset(import_id, file_id) == 0
    one = limited(any_runtime, import_max_open=1)
    refused(await one.client.post(IMPORTS, json={"project": "BICAM"}), 503)
    application = create_app(any_runtime)
    application.state.uploading = any_runtime.settings.import_max_chunks
    transport = httpx.ASGITransport(application)
    busy = Uploader(httpx.AsyncClient(transport=transport, base_url="http://localhost"))
    refused(await busy.piece(import_id, file_id, 0, b"x"), 503)


async def test_a_full_disk_is_told_and_loses_nothing(
    any_runtime: Runtime, up: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id, (file_id,) = await begun(up)
    await up.piece(import_id, file_id, 0, CONTENT[:1000])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        refused(await up.piece(import_id, file_id, 1000, CONTENT[1000:2000]), 507)
        patch.setattr(Spool, "free", lambda _: 100)
        answer = await up.client.post(
            f"{IMPORTS}/{import_id}/files", json={"files": [{"path": "b", "size": 1}]}
        )
        refused(answer, 507)
    assert await up.offset(import_id, file_id) == 1000
    await up.upload(import_id, {"a": CONTENT})
    assert staged(any_runtime)[1].read_bytes() == CONTENT


async def test_a_piece_for_a_discarded_import_is_told(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    import_id, (file_id,) = await begun(up)
    await api("DELETE", f"/imports/{import_id}", 200)
    refused(await up.piece(import_id, file_id, 0, b"x"), 404)
    assert staged(any_runtime) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [({"project": "NOSUCH"}, "project"), ({"event": "v9"}, "event"), ({"site": "x"}, "site"),
     ({"participant": "Jane"}, "participant"), ({"note": "a\nb"}, "note"), ({"more": 1}, "more")],
)  # fmt: skip
async def test_an_import_that_breaks_a_rule_names_the_field(
    api: Api, up: Uploader, change: dict[str, Any], field: str
) -> None:
    await api.refused("/imports", {"project": "BICAM"} | change, field)


async def test_a_project_that_takes_nothing_says_so_before_the_upload(
    api: Api, up: Uploader
) -> None:
    await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    await api.refused("/imports", {"project": "BICAM"}, "project")


async def test_the_running_service_does_it_all(
    any_runtime: Runtime, api: Api, up: Uploader, tmp_path: Path
) -> None:
    images = Maker(1, size=16).ct(20).instances
    stop, opened = asyncio.Event(), []
    runtime = dataclasses.replace(any_runtime, opened=lambda *_: opened.append(_))
    running = asyncio.create_task(main.run(runtime, stop))
    import_id = await up.begin(participant="BICAM_001", event="v1")
    files = {f"{n}.dcm": part10(image) for n, image in enumerate(images)}
    await asyncio.gather(
        *(up.upload(import_id, {path: content}) for path, content in files.items())
    )
    await up.finish(import_id)

    async def state(wanted: str) -> bool:
        return bool((await api("GET", f"/imports/{import_id}", 200))["state"] == wanted)

    await until(lambda: state("review"))
    wanted = {"studies": [str(images[0].StudyInstanceUID)]}
    await api("POST", f"/imports/{import_id}/accept", 202, wanted)
    await until(lambda: state("accepted"))
    stop.set()
    await running
    await catalogue(any_runtime)
    assert len(await rows(any_runtime, Instance)) == 20
    assert staged(any_runtime) == []
