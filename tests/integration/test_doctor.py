"""The doctor: finds what is wrong, says it in words, mends what it can."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import insert

from services.keeping.doctor.examining import Wishes, examine
from services.keeping.findings import Level, Said, is_well
from services.keeping.kept import note_kept
from shared.clock import now
from shared.events import InstanceReceived
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.schema import migrate
from shared.ledger.tables import (
    DeadLetter,
    Delivery,
    Instance,
    Project,
    Study,
    Transfer,
    Webhook,
    core,
)
from shared.runtime import open_runtime
from shared.settings import Settings
from shared.spool import Spool
from tests.helpers import arrive, handle, received_consumer
from tests.keeping import World, all_rows, change, fill, on

_EVERYTHING = Wishes(every=True)


@pytest.fixture(params=["sqlite", "postgres"])
def here(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    return on(settings, request.getfixturevalue("postgres_url"))


@pytest.fixture
async def world(here: Settings) -> World:
    return await fill(here)


def wrong(said: list[Said]) -> list[str]:
    return [one.text for one in said if one.level is Level.WRONG and not one.mended]


def warned(said: list[Said]) -> str:
    return "\n".join(one.text for one in said if one.level is Level.WARNING)


async def mended(settings: Settings) -> list[Said]:
    return await examine(settings, Wishes(every=True, mend=True))


async def test_a_healthy_system_is_well_and_the_key_is_asked_after_until_it_is_kept(
    here: Settings, world: World
) -> None:
    said = await examine(here, _EVERYTHING)
    assert is_well(said) and wrong(said) == []
    assert "all 4 images of the ledger are there, 4 of them" in "\n".join(s.text for s in said)
    assert "nobody has said that a copy of it is kept" in warned(said)
    ledger = Ledger(here)
    await note_kept(ledger, here.load_master_key())
    await ledger.close()
    assert "nobody has said" not in warned(await examine(here, _EVERYTHING))


async def test_originals_without_rows_are_put_back_into_the_inbox_and_catalogued(
    here: Settings, world: World
) -> None:
    spool = Spool(here.spool_path)
    original = spool.path(world.keys[0])
    stray = spool.received_key("1.2.9", "1.2.9.1", "1.2.9.1.1", 1)
    newer = world.keys[0].replace(".dcm", ".r2.dcm")
    for key in (stray, newer):
        with spool.writing(key) as file:
            file.write(original.read_bytes())
    # Not: what the classifier has given its place and not committed yet.
    one = pydicom.dcmread(spool.path(world.waiting[0]))
    place = (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
    spool.adopt({world.waiting[0]: spool.received_key(*place, 1)})
    assert wrong(await examine(here, _EVERYTHING)) == ["2 files are not in the ledger"]
    assert is_well(await mended(here))
    assert not spool.path(stray).exists() and not spool.path(newer).exists()
    async with open_runtime(here, "tests") as runtime:
        waiting = [
            key
            for one in runtime.spool.waiting_associations()
            for key in runtime.spool.waiting_files(one, 1e12)
        ]
        assert len(waiting) == 3
        await handle(received_consumer(runtime), InstanceReceived(keys=tuple(waiting)))
        assert runtime.spool.has_arrivals() is False
    assert is_well(await examine(here, _EVERYTHING))


async def test_a_lost_original_holds_what_needs_it_until_it_is_sent_again(
    here: Settings, world: World
) -> None:
    spool = Spool(here.spool_path)
    contents = spool.path(world.keys[2]).read_bytes()
    spool.path(world.keys[2]).unlink()
    found = await examine(here, _EVERYTHING)
    assert wrong(found) == ["the originals of 1 images are gone: instances 3"]
    left = await mended(here)
    assert wrong(left) == ["the originals of 1 images are gone: instances 3"]
    (deliveries, transfers) = await all_rows(here, Delivery, Transfer)
    assert [one["state"] for one in deliveries] == ["forwarded", "anonymized", "held", "assigned"]
    assert (transfers[0]["held"], transfers[0]["in_flight"]) == (1, 2)
    async with open_runtime(here, "tests") as runtime:
        keys = arrive(runtime, [contents])
        await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))
    assert spool.path(world.keys[2]).read_bytes() == contents
    assert is_well(await examine(here, _EVERYTHING))


async def test_a_changed_original_is_found_by_its_content_and_by_its_length(
    here: Settings, world: World
) -> None:
    spool = Spool(here.spool_path)
    first, second = (spool.path(key) for key in world.keys[:2])
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-2])
    assert wrong(await examine(here, _EVERYTHING)) == [
        "2 originals are not what was received: instances 1, 2"
    ]


async def test_copies_that_are_gone_are_made_again_and_leftovers_removed(
    here: Settings, world: World
) -> None:
    spool = Spool(here.spool_path)
    leftover = spool.released_key(99, "2.25.9", "2.25.1", 1)
    for key in (leftover, spool.released_key(98, "2.25.9", "2.25.1", 1)):
        with spool.writing(key) as file:
            file.write(b"copy")
    os.utime(spool.path(leftover), (1, 1))  # the other one may be somebody's work under way
    for key in world.copies:
        spool.path(key).unlink()  # the first was delivered: nobody needs it
    found = await examine(here, _EVERYTHING)
    assert wrong(found) == ["1 images that wait to be sent have no de-identified copy"]
    assert "1 de-identified copies belong to nothing" in warned(found)
    assert is_well(await mended(here))
    (deliveries,) = await all_rows(here, Delivery)
    assert [one["state"] for one in deliveries] == [
        "forwarded", "assigned", "assigned", "assigned",
    ]  # fmt: skip
    assert not spool.path(leftover).exists()
    assert is_well(await examine(here, _EVERYTHING))


async def test_counts_that_do_not_add_up_are_counted_again(here: Settings, world: World) -> None:
    await change(here, Transfer, world.transfer, delivered=7, in_flight=0)
    await change(here, Study, 1, instances=17)
    assert len(wrong(await examine(here, _EVERYTHING))) == 2
    assert is_well(await mended(here))
    (transfers, studies) = await all_rows(here, Transfer, Study)
    assert (transfers[0]["delivered"], transfers[0]["in_flight"]) == (1, 3)
    assert studies[0]["instances"] == 4
    assert is_well(await examine(here, _EVERYTHING))


async def test_images_that_a_transfer_lacks_are_assigned_and_a_finished_one_ends(
    here: Settings, world: World
) -> None:
    ledger = Ledger(here)
    async with ledger.transaction() as connection:
        table = core(Delivery)
        await connection.execute(table.delete().where(table.c.id == world.deliveries[3]))
    await change(here, Transfer, world.transfer, in_flight=2)
    assert wrong(await examine(here, _EVERYTHING)) == [
        f"1 transfers lack images that are here ({world.transfer})"
    ]
    assert is_well(await mended(here))
    (deliveries,) = await all_rows(here, Delivery)
    assert [one["instance_id"] for one in deliveries] == [1, 2, 3, 4]
    async with ledger.transaction() as connection:
        await connection.execute(table.update().values(state="forwarded"))
    await change(here, Transfer, world.transfer, delivered=4, in_flight=0)
    assert wrong(await examine(here, _EVERYTHING)) == [
        f"1 transfers are running with nothing in flight ({world.transfer})"
    ]
    assert is_well(await mended(here))
    assert (await all_rows(here, Transfer))[0][0]["state"] == "complete"
    await ledger.close()


async def test_stuck_work_and_dead_letters_are_told_of(here: Settings, world: World) -> None:
    old = now() - timedelta(hours=30)
    await change(here, Delivery, world.deliveries[2], changed_at=old, reason="destination-away")
    ledger = Ledger(here)
    async with ledger.transaction() as connection:
        await connection.execute(
            insert(core(DeadLetter)).values(
                message_id="m", queue="q", reason="gave-up", body="", died_at=now()
            )
        )
    await ledger.close()
    said = await examine(here, Wishes(stuck_hours=24))
    assert "1 images wait to be de-identified for more than 24 h" in warned(said)
    assert any("research PACS does not answer" in one.mend for one in said)
    assert "1 are open" in warned(said)
    assert is_well(said)
    assert "wait to be" not in warned(await examine(here, Wishes(stuck_hours=40)))


async def test_a_key_that_does_not_fit_and_one_that_is_missing_are_told_of(
    here: Settings, world: World
) -> None:
    here.master_key_file.chmod(0o644)
    assert "others on this machine may read its file" in warned(await examine(here, Wishes()))
    here.master_key_file.unlink()
    assert any("can't be read" in one for one in wrong(await examine(here, Wishes())))
    MasterKey(MasterKey.generate()).write(here.master_key_file)
    assert wrong(await examine(here, Wishes())) == ["it does not open what the database holds"]


async def test_a_secret_under_another_key_is_found_when_all_are_opened(
    here: Settings, world: World
) -> None:
    await change(here, Webhook, 1, secret=MasterKey(MasterKey.generate()).encrypt(b"x"))
    assert wrong(await examine(here, Wishes())) == []
    assert wrong(await examine(here, _EVERYTHING)) == [
        "these secrets are under another key: 1 of webhook"
    ]


async def test_an_old_schema_an_absent_broker_and_a_missing_file_are_told_of(
    here: Settings, tmp_path: Path
) -> None:
    here.spool_path.mkdir(parents=True)
    ledger = Ledger(here)
    await migrate(ledger, "0011")
    await ledger.close()
    knobs = {"bus_url": "amqp://u:p@127.0.0.1:9/v", "pacs_tls_ca": tmp_path / "none.pem"}
    bad = type(here).model_validate(here.model_dump() | knobs)
    said = wrong(await examine(bad, Wishes()))
    assert any("the database is at revision 0011" in one for one in said)
    assert any("does not answer, or does not let Sluse in" in one for one in said)
    assert any("SLUSE_PACS_TLS_CA" in one for one in said)


async def test_projects_without_destination_and_silent_destinations_are_told_of(
    here: Settings, world: World
) -> None:
    assert "destination 1 (RESEARCHPACS) does not answer" in warned(await examine(here, Wishes()))
    await change(here, Project, 1, destination_id=None)
    assert "these projects have none: BICAM" in warned(await examine(here, Wishes()))


async def test_the_commands_end_with_their_code_and_say_nothing_of_patients(
    settings: Settings,
) -> None:
    world = await fill(settings)
    data = str(settings.master_key_file.parent)

    def sluse(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from services.cli import app; app()", *arguments,
             "--data", data],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert sluse("doctor").returncode == 0
    Spool(settings.spool_path).path(world.keys[0]).unlink()
    found = sluse("doctor", "--json", "--all")
    assert found.returncode == 1
    assert json.loads(found.stdout)["well"] is False
    (studies, instances) = await all_rows(settings, Study, Instance)
    for one in (studies[0]["patient_name"], studies[0]["patient_id"]):
        assert one and one not in found.stdout + found.stderr
    assert instances[0]["sop_instance_uid"] not in found.stdout
    assert sluse("key-is-kept").returncode == 0
    assert "a copy of it is kept" in sluse("doctor").stdout
    restored = sluse("restore", "/nowhere")
    assert (restored.returncode, restored.stderr) == (
        1,
        "Not done: /nowhere is no backup of Sluse\n",
    )
