"""Previews of a profile on a real study: api, bus, anonymizer with real processes, ledger."""

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from sqlalchemy import update

from demo.phantoms import Maker
from services.anonymizer.pool import Pool
from services.anonymizer.previews.consumer import PreviewConsumer
from services.anonymizer.previews.job import PreviewJob, PreviewMade
from services.api.profile_previews.service import forget_old
from shared.bus import ANONYMIZER_PREVIEWS
from shared.clock import now
from shared.errors import Reason
from shared.events import PreviewRequested
from shared.ledger.auditing import Action
from shared.ledger.tables import AuditEvent, Instance, Preview, core
from tests.helpers import handle, message, rows, until
from tests.integration.test_api_fixtures import Api, receive
from tests.integration.test_people_fixtures import World, _fast_hashes, world

__all__ = ["_fast_hashes", "world"]

PATH = "/projects/AAA/previews"


def profile(*rules: dict[str, Any], **more: Any) -> str:
    document = {"format": 1, "name": "t", "base": "source-2019", "rules": list(rules)} | more
    return json.dumps(document)


@pytest.fixture
async def anonymizer(world: World) -> AsyncIterator[PreviewConsumer]:
    pool = Pool(world.runtime.settings.model_copy(update={"workers": 1}))
    key = await world.runtime.load_master_key()
    yield PreviewConsumer(world.runtime.ledger, key, pool)
    pool.close()


async def assigned(world: World, seed: int = 1) -> Api:
    """A study with a nested name is in project AAA; its data manager's client."""
    image = Maker(seed, size=16).ct(1).instances[0]
    image.PatientID, image.PatientName = f"P{seed}", "Nordmann^Kari"
    item = Dataset()
    item.RequestedProcedureDescription = "for Nordmann"
    item.AccessionNumber = "ACC77"
    image.RequestAttributesSequence = Sequence([item])
    image.AcquisitionComments = "x" * 300
    await receive(world.runtime, [image])
    manager = await world.api("data-manager")
    body = {"study_id": 1, "project": "AAA", "participant": "A_1"}
    await manager("POST", "/transfers", 201, body)
    return manager


async def answered(api: Api, consumer: PreviewConsumer, **body: Any) -> Any:
    asked = await api("POST", PATH, 202, {"study_id": 1} | body)
    assert (asked["state"], asked["comparison"]) == ("asked", None)
    await handle(consumer, PreviewRequested(preview_id=asked["id"]))
    return await api("GET", f"{PATH}/{asked['id']}", 200)


def by_tag(found: Any, depth: int = 0) -> dict[str, Any]:
    return {one["tag"]: one for one in found["comparison"]["elements"] if one["depth"] == depth}


async def test_it_shows_what_the_proposed_profile_does(
    world: World, anonymizer: PreviewConsumer
) -> None:
    api = await assigned(world)
    proposed = profile({"element": "StudyDescription", "action": "remove"})
    found = await answered(api, anonymizer, profile=proposed)
    assert (found["state"], found["study_id"], found["series_id"]) == ("done", 1, 1)
    top = by_tag(found)
    name = top["(0010,0010)"]
    assert (name["before"], name["after"]) == ("Nordmann^Kari", "A_1")
    assert (name["effect"], name["why"]) == ("changed", "the table: Re-Mapped")
    gone = top["(0008,1030)"]
    assert (gone["effect"], gone["after"]) == ("removed", None)
    assert gone["before"] == "CT thorax med kontrast"
    kept = top["(0018,4000)"]
    assert (kept["effect"], kept["before"]) == ("kept", "x" * 200 + "…")
    assert top["(0008,0060)"]["effect"] == "kept" and top["(0008,0060)"]["before"] == "CT"
    assert top["(0012,0062)"]["effect"] == "added" and top["(0012,0062)"]["before"] is None
    pixels = top["(7fe0,0010)"]
    assert pixels["before"] == pixels["after"] and pixels["before"].endswith(" B")
    inside = by_tag(found, 1)
    assert inside["(0032,1060)"]["before"] == "for Nordmann"
    assert "Nordmann" not in (inside["(0032,1060)"]["after"] or "")
    effects = [one["effect"] for one in found["comparison"]["elements"] if not one["depth"]]
    assert effects.index("kept") > max(
        number for number, one in enumerate(effects) if one in ("removed", "changed", "added")
    )
    # The project's own profile is as it was, and nothing of the copy is left.
    assert (await api("GET", "/projects/AAA", 200))["profile"] == ""
    assert list((world.runtime.settings.spool_path / "tmp").iterdir()) == []
    own = await answered(api, anonymizer)
    assert by_tag(own)["(0008,1030)"]["effect"] == "kept"


async def test_before_values_stand_nowhere_but_encrypted(
    world: World, anonymizer: PreviewConsumer, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await assigned(world)
    found = await answered(api, anonymizer)
    (row,) = await rows(world.runtime, Preview)
    assert "Nordmann" not in repr(row) and row.result
    event = PreviewRequested(preview_id=row.id)
    assert message(event).envelope.body == {"preview_id": found["id"]}
    written = capsys.readouterr()
    assert "Nordmann" not in written.out + written.err
    shown = [one.subject for one in await rows(world.runtime, AuditEvent)
             if one.action == Action.IDENTITIES_SHOWN and one.actor == "data-manager"]  # fmt: skip
    assert shown == [{"studies": [1]}]
    await api("GET", f"{PATH}/{row.id}", 200)
    assert len([one for one in await rows(world.runtime, AuditEvent)
                if one.action == Action.IDENTITIES_SHOWN]) == 2  # fmt: skip


async def test_what_would_be_held_is_said(world: World, anonymizer: PreviewConsumer) -> None:
    api = await assigned(world)
    hold = profile({"element": "StudyDescription", "action": "hold"})
    found = await answered(api, anonymizer, profile=hold)
    assert (found["state"], found["comparison"]) == ("held", None)
    assert found["reason"] == Reason.NOT_DEIDENTIFIABLE.in_words
    assert "StudyDescription" in found["detail"]


async def test_an_original_that_is_gone_is_said_to_be(
    world: World, anonymizer: PreviewConsumer
) -> None:
    api = await assigned(world)
    (instance,) = await rows(world.runtime, Instance)
    world.runtime.spool.path(instance.spool_key).unlink()
    found = await answered(api, anonymizer)
    assert (found["state"], found["reason"]) == ("failed", Reason.SPOOL_FILE_MISSING.in_words)


def _hang(spool_root: Path, job: PreviewJob) -> PreviewMade:
    time.sleep(60)
    return PreviewMade()


async def test_an_image_that_takes_too_long_would_be_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.anonymizer.pool.make_preview", _hang)
    api = await assigned(world)
    pool = Pool(world.runtime.settings.model_copy(update={"workers": 1, "instance_timeout": 1}))
    key = await world.runtime.load_master_key()
    found = await answered(api, PreviewConsumer(world.runtime.ledger, key, pool))
    pool.close()
    assert (found["state"], found["reason"]) == ("held", Reason.ENGINE_CRASHED.in_words)


async def test_a_lost_message_is_sent_again_while_somebody_waits(
    world: World, anonymizer: PreviewConsumer
) -> None:
    api = await assigned(world)
    asked = await api("POST", PATH, 202, {"study_id": 1})
    bus = world.runtime.bus
    assert await bus.depth(ANONYMIZER_PREVIEWS) == 1
    await bus.purge()
    await api("GET", f"{PATH}/{asked['id']}", 200)
    assert await bus.depth(ANONYMIZER_PREVIEWS) == 0
    async with world.runtime.ledger.transaction() as connection:
        long_ago = now() - timedelta(seconds=6)
        await connection.execute(update(core(Preview)).values(nudged_at=long_ago))
    await api("GET", f"{PATH}/{asked['id']}", 200)
    await api("GET", f"{PATH}/{asked['id']}", 200)
    assert await bus.depth(ANONYMIZER_PREVIEWS) == 1
    async with bus.consuming(anonymizer):

        async def done() -> Any:
            found = await api("GET", f"{PATH}/{asked['id']}", 200)
            return found if found["state"] != "asked" else None

        assert (await until(done))["state"] == "done"
    # A repeated message changes nothing.
    (before,) = await rows(world.runtime, Preview)
    await handle(anonymizer, PreviewRequested(preview_id=asked["id"]))
    assert await rows(world.runtime, Preview) == [before]


async def test_a_preview_is_gone_when_its_time_is_over_or_another_is_asked_for(
    world: World, anonymizer: PreviewConsumer
) -> None:
    api = await assigned(world)
    first = await answered(api, anonymizer)
    second = await answered(api, anonymizer)
    await api("GET", f"{PATH}/{first['id']}", 404)
    assert len(await rows(world.runtime, Preview)) == 1
    async with world.runtime.ledger.transaction() as connection:
        hour_ago = now() - timedelta(hours=1, seconds=1)
        await connection.execute(update(core(Preview)).values(asked_at=hour_ago))
    await api("GET", f"{PATH}/{second['id']}", 404)
    async with world.runtime.ledger.transaction() as connection:
        assert await forget_old(connection) == 1
    assert await rows(world.runtime, Preview) == []
    await handle(anonymizer, PreviewRequested(preview_id=second["id"]))  # is about nothing any more


async def test_nobody_else_sees_it(world: World, anonymizer: PreviewConsumer) -> None:
    api = await assigned(world)
    found = await answered(api, anonymizer)
    path = f"{PATH}/{found['id']}"
    await (await world.api("owner"))("GET", path, 404)  # may, but has not asked for it
    for role in ("viewer", "data-entry", "root"):
        other = await world.api(role)
        await other("GET", path, 403)
        await other("POST", PATH, 403, {"study_id": 1})
    await (await world.api("nobody"))("GET", path, 404)
    await api("GET", f"/projects/BBB/previews/{found['id']}", 404)
    # A study that has left the project is not its to look at any more.
    await api("POST", "/transfers/1/cancel", 200)
    await api("GET", path, 404)
    await api.refused(PATH, {"study_id": 1}, "study_id")


async def test_what_can_not_be_tried_is_refused(world: World) -> None:
    api = await assigned(world)
    await api.refused(PATH, {"study_id": 77}, "study_id")
    await api.refused(PATH, {"study_id": 1, "series_id": 77}, "series_id")
    await api.refused(PATH, {"study_id": 1, "profile": "{}"}, "profile")
    assert await rows(world.runtime, Preview) == []


async def test_who_waits_hears_that_it_was_given_up(
    world: World, anonymizer: PreviewConsumer
) -> None:
    api = await assigned(world)
    asked = await api("POST", PATH, 202, {"study_id": 1})
    await anonymizer.give_up(message(PreviewRequested(preview_id=asked["id"])), Reason.GAVE_UP)
    found = await api("GET", f"{PATH}/{asked['id']}", 200)
    assert (found["state"], found["reason"]) == ("failed", Reason.GAVE_UP.in_words)
