"""Backup and restore, on both databases: what comes back, and what is refused."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from services.keeping import contents, databases, restoring
from services.keeping.backing_up import Wishes, back_up
from services.keeping.contents import Kind
from services.keeping.findings import is_well
from shared.clock import now
from shared.errors import StartError
from shared.identity import MasterKey
from shared.inventory import Inventory
from shared.ledger import Ledger
from shared.ledger.schema import current_revision, migrate
from shared.ledger.states import DeliveryState
from shared.ledger.tables import (
    Coupling,
    CouplingEntry,
    Delivery,
    Finding,
    Instance,
    Participant,
    Project,
    Quarantine,
    Series,
    Study,
    Transfer,
    core,
)
from shared.runtime import open_runtime
from shared.settings import Settings, embedded
from shared.spool import Spool
from tests.helpers import make_project
from tests.keeping import all_rows, fill, on
from tests.servers.postgres import new_database

KEPT = (Project, Participant, Coupling, CouplingEntry, Study, Series, Instance, Quarantine)


@pytest.fixture(params=["sqlite", "postgres"])
def here(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    return on(settings, request.getfixturevalue("postgres_url"))


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, here: Settings, tmp_path: Path) -> Settings:
    """Another machine: an empty database, an empty spool, no key."""
    other = embedded(tmp_path / "other", dicom_port=0, http_port=0)
    other.spool_path.mkdir(parents=True)
    if "postgresql" in here.database_url.get_secret_value():
        other = on(other, new_database(request.getfixturevalue("postgres_server")))
    return other


async def restore(settings: Settings, folder: Path, **how: Any) -> restoring.Restored:
    return await restoring.restore(settings, folder, **({"over": False, "with_key": True} | how))


@pytest.mark.parametrize("portable", [False, True])
async def test_everything_comes_back_on_another_machine(
    here: Settings, elsewhere: Settings, tmp_path: Path, portable: bool
) -> None:
    await fill(here)
    target = tmp_path / "backup"
    made = await back_up(here, target, Wishes(with_key=True, with_spool=True, portable=portable))
    if portable:
        assert made.kind is Kind.TABLES
    assert (made.rows["instance"], made.rows["delivery"]) == (4, 4)
    done = await restore(elsewhere, target)
    assert done.put_back == made.files and not done.missing
    assert is_well(done.examined), [one for one in done.examined if one.level == "wrong"]
    assert await all_rows(here, *KEPT) == await all_rows(elsewhere, *KEPT)
    was, now_is = Inventory(here.spool_path), Inventory(elsewhere.spool_path)
    assert [one.name for one in was.files()] == [one.name for one in now_is.files()]
    for one in was.files():
        assert was.path(one.name).read_bytes() == now_is.path(one.name).read_bytes()
    states = [one["state"] for (rows,) in [await all_rows(elsewhere, Delivery)] for one in rows]
    assert states == ["forwarded", "anonymized", "assigned", "assigned"]
    assert elsewhere.master_key_file.stat().st_mode & 0o777 == 0o600
    await new_rows_get_new_numbers(elsewhere)


async def new_rows_get_new_numbers(settings: Settings) -> None:
    async with open_runtime(settings, "tests") as runtime:
        await runtime.load_master_key()
        async with runtime.ledger.transaction() as connection:
            made = await connection.scalar(
                insert(core(Participant))
                .values(project_id=1, pseudonym="new", created_at=now())
                .returning(core(Participant).c.id)
            )
    assert made == 2


async def test_a_portable_backup_moves_from_sqlite_to_postgresql(
    settings: Settings, postgres_url: str, tmp_path: Path
) -> None:
    await fill(settings)
    await back_up(settings, tmp_path / "plain", Wishes())
    await back_up(settings, tmp_path / "portable", Wishes(portable=True))
    server = on(settings, postgres_url)
    with pytest.raises(StartError, match="make another one there with `sluse backup --portable`"):
        await restore(server, tmp_path / "plain", with_key=False)
    await restore(server, tmp_path / "portable", with_key=False)
    assert await all_rows(settings, *KEPT) == await all_rows(server, *KEPT)


async def test_what_lost_its_files_is_made_again_or_held_and_what_came_since_is_adopted(
    here: Settings, tmp_path: Path
) -> None:
    world = await fill(here)
    await back_up(here, tmp_path / "backup", Wishes())
    spool = Spool(here.spool_path)
    spool.path(world.copies[1]).unlink()  # its original is there
    spool.path(world.keys[3]).unlink()  # on its way, without a copy
    later = spool.received_key("1.2.9", "1.2.9.1", "1.2.9.1.1", 1)
    with spool.writing(later) as file:
        file.write(spool.path(world.keys[0]).read_bytes())
    done = await restore(here, tmp_path / "backup", over=True, with_key=False)
    assert done.missing == {"released": 1, "received": 1}
    (deliveries, transfers, findings) = await all_rows(here, Delivery, Transfer, Finding)
    assert [one["state"] for one in deliveries] == ["forwarded", "assigned", "assigned", "held"]
    assert deliveries[3]["reason"] == "spool-file-missing"
    assert [one["delivery_id"] for one in findings] == [world.deliveries[3]]
    assert (transfers[0]["delivered"], transfers[0]["in_flight"], transfers[0]["held"]) == (1, 2, 1)
    assert not spool.path(later).exists()
    waiting = [
        key for one in spool.waiting_associations() for key in spool.waiting_files(one, 1e12)
    ]
    assert len(waiting) == len(world.waiting) + 1


async def test_a_database_that_has_rows_is_replaced_only_when_that_is_said(
    here: Settings, tmp_path: Path
) -> None:
    await fill(here)
    await back_up(here, tmp_path / "backup", Wishes())
    async with open_runtime(here, "tests") as runtime:
        await make_project(runtime, "LATER")
    with pytest.raises(StartError, match=r"project +2 here +1 in the backup"):
        await restore(here, tmp_path / "backup", with_key=False)
    assert len((await all_rows(here, Project))[0]) == 2
    await restore(here, tmp_path / "backup", over=True, with_key=False)
    assert [one["code"] for one in (await all_rows(here, Project))[0]] == ["BICAM"]


async def test_nothing_is_restored_under_running_services(here: Settings, tmp_path: Path) -> None:
    await fill(here)
    await back_up(here, tmp_path / "backup", Wishes())
    async with open_runtime(here, "tests"):
        with pytest.raises(StartError, match="services of Sluse are running"):
            await restore(here, tmp_path / "backup", over=True, with_key=False)
        # But a backup is made.
        await back_up(here, tmp_path / "another", Wishes())


async def test_a_backup_under_another_key_or_without_one_is_refused(
    here: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    await fill(here)
    made = await back_up(here, tmp_path / "backup", Wishes())
    with pytest.raises(StartError, match="no master key in this backup"):
        await restore(elsewhere, tmp_path / "backup")
    with pytest.raises(StartError, match="can't be read"):
        await restore(elsewhere, tmp_path / "backup", with_key=False)
    MasterKey(MasterKey.generate()).write(elsewhere.master_key_file)
    with pytest.raises(StartError, match=f"the one with the fingerprint {made.master_key}"):
        await restore(elsewhere, tmp_path / "backup", with_key=False)


async def test_a_backup_of_a_newer_schema_is_refused_and_an_older_one_migrated(
    here: Settings, tmp_path: Path
) -> None:
    here.spool_path.mkdir(parents=True)
    ledger = Ledger(here)
    await migrate(ledger, "0011")
    MasterKey(MasterKey.generate()).write(here.master_key_file)
    folder = tmp_path / "backup"
    folder.mkdir()
    async with databases.taken(ledger, here, folder, portable=False) as (kind, _):
        description = contents.Description(
            sluse="0.0.9", revision="0011", kind=kind, made_at=now(), master_key=None,
            rows={},
        )  # fmt: skip
    with contents.writing_entries(folder):
        pass
    for revision in ("9999", "0011"):
        description.revision = revision
        contents.write_description(folder, description)
        contents.seal(folder)
        if revision == "9999":
            with pytest.raises(StartError, match=r"newer schema \(9999\)"):
                await restore(here, folder, with_key=False)
    await migrate(ledger)
    await restore(here, folder, with_key=False)
    assert await current_revision(ledger) not in (None, "0011")
    await ledger.close()


@pytest.mark.parametrize("harm", ["changed", "missing", "no sums", "no backup"])
async def test_half_a_backup_and_a_damaged_one_are_refused(
    settings: Settings, tmp_path: Path, harm: str
) -> None:
    await fill(settings)
    folder = tmp_path / "backup"
    await back_up(settings, folder, Wishes())
    file = {"changed": "database.sqlite", "missing": "spool.jsonl.gz", "no sums": "SHA256SUMS",
            "no backup": "backup.json"}[harm]  # fmt: skip
    if harm == "changed":
        with (folder / file).open("r+b") as database:
            database.seek(5000)
            database.write(b"x")
    else:
        (folder / file).unlink()
    with pytest.raises(StartError, match=r"damaged|not whole|no whole backup|no backup"):
        await restore(settings, folder, over=True, with_key=False)


async def test_a_backup_that_breaks_off_leaves_no_folder_and_goes_on_where_it_was(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings)
    target, copied = tmp_path / "backup", []
    real = contents.copy

    def fails_at_the_third(source: Path, place: Path) -> str:
        copied.append(source.name)
        if len(copied) == 3:
            raise OSError(28, "No space left on device")
        return real(source, place)

    monkeypatch.setattr(contents, "copy", fails_at_the_third)
    with pytest.raises(StartError, match="No space left"):
        await back_up(settings, target, Wishes(with_spool=True))
    assert not target.exists()
    made = await back_up(settings, target, Wishes(with_spool=True))
    assert len(copied) == made.files + 1  # the third one twice, the first two once
    contents.check(target)
    assert sum(1 for one in contents.read_entries(target) if one.sha256) == made.files
    with pytest.raises(StartError, match="is there already"):
        await back_up(settings, target, Wishes())


async def test_a_backup_without_the_key_holds_none_and_linked_files_are_the_same_files(
    settings: Settings, tmp_path: Path
) -> None:
    world = await fill(settings)
    target = tmp_path / "backup"
    await back_up(settings, target, Wishes(with_spool=True, linked=True))
    assert not (target / "master.key").exists()
    key = settings.master_key_file.read_bytes().strip()
    for path in target.rglob("*"):
        assert not path.is_file() or key not in path.read_bytes()
    assert target.stat().st_mode & 0o077 == 0
    original = settings.spool_path / world.keys[0]
    assert original.samefile(target / "spool" / world.keys[0])
    with sqlite3.connect(target / "database.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_file_of_the_backup_that_is_not_what_it_was_is_not_put_back(
    here: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    world = await fill(here)
    target = tmp_path / "backup"
    await back_up(here, target, Wishes(with_key=True, with_spool=True))
    copy = target / "spool" / world.keys[0]
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    with pytest.raises(StartError, match="the backup is damaged"):
        await restore(elsewhere, target)
    assert not (elsewhere.spool_path / world.keys[0]).exists()


async def test_deliveries_that_the_copy_still_serves_go_on_without_their_original(
    settings: Settings, tmp_path: Path
) -> None:
    world = await fill(settings)
    await back_up(settings, tmp_path / "backup", Wishes())
    Spool(settings.spool_path).path(world.keys[1]).unlink()
    await restore(settings, tmp_path / "backup", over=True, with_key=False)
    (deliveries,) = await all_rows(settings, Delivery)
    assert deliveries[1]["state"] == DeliveryState.ANONYMIZED
