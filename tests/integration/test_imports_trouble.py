"""Imports that are interrupted, discarded or in trouble."""

import asyncio
import dataclasses
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from services.api.imports import reading
from services.api.imports.worker import Worker
from shared.admission import Way
from shared.errors import Reason
from shared.ledger.states import ImportState
from shared.ledger.tables import (
    AuditEvent,
    Delivery,
    ImportStudy,
    Instance,
    Transfer,
)
from shared.runtime import Runtime
from shared.spool import Spool
from tests.helpers import part10, rows
from tests.importing import (
    Uploader,
    bring_all,
    catalogue,
    forget_claims,
    nothing_is_left,
    one_image,
    read_all,
    reviewed,
    staged,
    uid,
    zipped,
)
from tests.integration.test_api_fixtures import PROJECT, Api

pytest_plugins = ["tests.integration.test_api_fixtures"]


@pytest.fixture
def up(client: httpx.AsyncClient) -> Uploader:
    return Uploader(client)


@pytest.mark.parametrize("where", ["before", "within", "behind"])
async def test_a_crash_on_the_way_into_the_inbox_loses_nothing(
    any_runtime: Runtime, api: Api, up: Uploader, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = Maker(1, size=16).ct(70).instances
    files = {"all.zip": zipped({str(n): part10(image) for n, image in enumerate(images)})}
    import_id, _ = await reviewed(any_runtime, api, up, files)
    body = {"studies": [uid(images)], "participant": "BICAM_001", "event": "v1"}
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    target = {
        "before": "services.api.imports.bringing.received_events",
        "within": "services.api.imports.bringing.nudge",
        "behind": "services.api.imports.bringing.reporting.counts_of",
    }[where]
    calls = 0

    def crash(*_: Any, **__: Any) -> Any:
        nonlocal calls
        calls += 1
        if where != "within" or calls > 1:
            raise KeyboardInterrupt("crash")
        return nothing()

    async def nothing() -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(target, crash)
        with pytest.raises(KeyboardInterrupt):
            await bring_all(any_runtime)
    # What is in the inbox is catalogued, and the rest comes when its claim has run out.
    await catalogue(any_runtime)
    await forget_claims(any_runtime)
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    assert (await api("GET", f"/imports/{import_id}", 200))["state"] == "accepted"
    assert len(await rows(any_runtime, Instance)) == len(await rows(any_runtime, Delivery)) == 70
    (transfer,) = await rows(any_runtime, Transfer)
    assert transfer.requested_by == Way.IMPORT
    await nothing_is_left(any_runtime)
    await Worker(any_runtime).sweep()


async def test_a_crash_while_reading_goes_on_where_it_was(
    any_runtime: Runtime, api: Api, up: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = Maker(1, size=16).ct(3).instances
    import_id = await up.begin()
    await up.upload(import_id, {str(n): part10(image) for n, image in enumerate(images)})
    await up.finish(import_id)
    monkeypatch.setattr("services.api.imports.reading._MOST_FILES", 2)
    with monkeypatch.context() as patch:

        def crash(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr("services.api.imports.reading._tidy", crash)
        with pytest.raises(KeyboardInterrupt):
            await read_all(any_runtime)
    assert (await api("GET", f"/imports/{import_id}", 200))["progress"]["files_read"] == 2
    await api("GET", f"/imports/{import_id}/review", 409)
    await read_all(any_runtime)
    assert (await api("GET", f"/imports/{import_id}", 200))["state"] == "reading"  # claimed
    await forget_claims(any_runtime)
    await read_all(any_runtime)
    review = await api("GET", f"/imports/{import_id}/review", 200)
    assert review["found"]["images"] == 3 and review["studies"][0]["images"] == 3


async def test_discarded_and_abandoned_imports_leave_nothing(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    files = {"Doe, Jane/1": part10(Maker(1, size=16).ct(1).instances[0])}
    first, _ = await reviewed(any_runtime, api, up, files)
    gone = await api("DELETE", f"/imports/{first}", 200)
    assert gone["state"] == "discarded" and gone["found"]["images"] == 1
    assert (await api("DELETE", f"/imports/{first}", 200))["state"] == "discarded"
    await nothing_is_left(any_runtime)
    assert await rows(any_runtime, ImportStudy) == []
    await api("POST", f"/imports/{first}/finish", 409)
    await api("POST", f"/imports/{first}/accept", 409, {"studies": ["1.2"]})
    second = await up.begin()
    await up.upload(second, files)
    await Worker(any_runtime).sweep()
    assert (await api("GET", f"/imports/{second}", 200))["state"] == "uploading"
    hasty = any_runtime.settings.model_copy(update={"import_keep": 1e-6})
    await Worker(dataclasses.replace(any_runtime, settings=hasty)).sweep()
    assert (await api("GET", f"/imports/{second}", 200))["state"] == "discarded"
    await nothing_is_left(any_runtime)
    audited = [one.action for one in await rows(any_runtime, AuditEvent)]
    assert audited.count("import.discarded") == 2
    listed = await api("GET", "/imports?project=BICAM&state=discarded&limit=1", 200)
    assert [one["id"] for one in listed["items"]] == [second] and listed["next"] == second
    for state in ImportState:
        await api("GET", f"/imports?state={state}", 200)


async def test_an_import_may_be_discarded_while_it_is_read(
    any_runtime: Runtime, api: Api, up: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    import_id = await up.begin()
    await up.upload(import_id, {"a": part10(Maker(1, size=16).ct(1).instances[0]), "b": b"x"})
    await up.finish(import_id)
    look = reading._look

    async def discard() -> None:
        await api("DELETE", f"/imports/{import_id}", 200)

    loop = asyncio.get_running_loop()

    def look_and_discard(*arguments: Any) -> Any:
        found = look(*arguments)
        asyncio.run_coroutine_threadsafe(discard(), loop).result(20)
        return found

    monkeypatch.setattr(reading, "_look", look_and_discard)
    await read_all(any_runtime)
    assert (await api("GET", f"/imports/{import_id}", 200))["state"] == "discarded"
    await nothing_is_left(any_runtime)


async def test_trouble_while_reading_is_told_and_passes(
    any_runtime: Runtime, api: Api, up: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    import_id = await up.begin()
    image = part10(Maker(1, size=16).ct(1).instances[0])
    await up.upload(import_id, {"a.zip": zipped({"1": image})})
    await up.finish(import_id)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "free", lambda _: 1)
        await read_all(any_runtime)
    waiting = await api("GET", f"/imports/{import_id}", 200)
    assert (waiting["state"], waiting["reason"]) == ("reading", Reason.DISK_FULL.in_words)

    def stumble(*_: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "_look", stumble)
        for _ in range(3):
            await forget_claims(any_runtime)
            await read_all(any_runtime)
    failed = await api("GET", f"/imports/{import_id}", 200)
    assert (failed["state"], failed["reason"]) == ("failed", Reason.GAVE_UP.in_words)
    await up.finish(import_id)
    await read_all(any_runtime)
    done = await api("GET", f"/imports/{import_id}", 200)
    assert (done["state"], done["reason"], done["found"]["images"]) == ("review", None, 1)
    # The same file chosen once more changes nothing.
    await up.upload(import_id, {"a.zip": zipped({"1": image})})
    assert (await api("GET", f"/imports/{import_id}", 200))["state"] == "review"


async def test_an_image_that_got_lost_on_the_disk_is_not_passed_over(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    import_id, body = await one_image(any_runtime, api, up)
    for path in staged(any_runtime):
        if path.is_file():
            path.unlink()
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    await bring_all(any_runtime)
    read = await api("GET", f"/imports/{import_id}", 200)
    assert read["state"] == "bringing"
    assert read["reason"] == Reason.SPOOL_FILE_MISSING.in_words
