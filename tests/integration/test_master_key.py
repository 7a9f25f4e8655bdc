"""A change of the master key: everything comes under the new one, or nothing, whenever it stops."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.keeping import rotating
from services.keeping.kept import is_kept, note_kept
from shared.errors import StartError
from shared.identity import MasterKey, MasterKeyError
from shared.ledger import Ledger
from shared.ledger.couplings import Kind
from shared.ledger.presence import present
from shared.ledger.sealing import SEALED, unreadable
from shared.ledger.tables import (
    METADATA,
    AnsweredPost,
    Coupling,
    CouplingEntry,
    Preview,
    Project,
    Webhook,
)
from shared.runtime import open_runtime
from shared.settings import Settings
from tests.helpers import until
from tests.keeping import (
    ACCESSION,
    ANSWER,
    COMPARED,
    PATIENT,
    WEBHOOK,
    all_rows,
    change,
    fill,
    on,
)


@pytest.fixture(params=["sqlite", "postgres"])
def here(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    return on(settings, request.getfixturevalue("postgres_url"))


async def everything_is_under(settings: Settings, key: MasterKey) -> None:
    projects, couplings, entries, hooks, posts, previews = await all_rows(
        settings, Project, Coupling, CouplingEntry, Webhook, AnsweredPost, Preview
    )
    assert len(key.decrypt(projects[0]["secret"])) == 32
    assert key.decrypt(couplings[0]["original"]) == PATIENT.as_json()
    assert couplings[0]["patient_key"] == PATIENT.index(key)
    assert key.decrypt(entries[0]["value"]) == ACCESSION.encode()
    assert entries[0]["value_key"] == key.index(Kind.ACCESSION, ACCESSION)
    assert key.decrypt(hooks[0]["secret"]) == WEBHOOK
    # Answers are forgotten with the key under which they were asked for.
    answers = [one["body"] and key.decrypt(one["body"]) for one in posts]
    assert answers in ([ANSWER, ""], [])
    assert key.decrypt(previews[0]["result"]) == COMPARED


async def test_everything_comes_under_the_new_key(here: Settings) -> None:
    await fill(here)
    old = here.load_master_key()
    (before,) = await all_rows(here, Project)
    await everything_is_under(here, old)
    done = await rotating.rotate(here, None)
    new = here.load_master_key()
    assert new.fingerprint == done.new.fingerprint != old.fingerprint
    assert done.rows == {
        "project": 1, "coupling": 1, "coupling_entry": 1, "webhook": 1, "answered_post": 1,
        "preview": 1,
    }  # fmt: skip
    await everything_is_under(here, new)
    (after,) = await all_rows(here, Project)
    # The projects' own keys are what they were: released identifiers stay the same.
    assert old.decrypt(before[0]["secret"]) == new.decrypt(after[0]["secret"])
    assert not here.next_master_key_file.exists()
    assert done.earlier is not None
    assert MasterKey.from_file(done.earlier).fingerprint == old.fingerprint
    assert here.master_key_file.stat().st_mode & 0o777 == 0o600
    ledger = Ledger(here)
    async with ledger.reading() as connection:
        for forgotten in ("throttle", "answered_post"):
            count = text(f"SELECT count(*) FROM {forgotten}")
            assert await connection.scalar(count) == 0
        assert await unreadable(connection, new) == {}
        assert sum((await unreadable(connection, old)).values()) == 5
    await ledger.close()
    async with open_runtime(here, "tests") as runtime:
        await runtime.load_master_key()


def test_every_column_under_the_master_key_is_known() -> None:
    """Columns that say that they are encrypted, or found by a keyed hash, in the tables' source."""
    folder = Path(sys.modules["shared.ledger.tables"].__file__ or "").parent
    said = sum(
        path.read_text().lower().count("encrypted under the master key")
        for path in folder.glob("*.py")
    )
    assert said == len(SEALED)
    for sealed in SEALED:
        assert METADATA.tables[sealed.table.name] is sealed.table


@pytest.mark.parametrize("moment", ["before the transaction ends", "before the swap", "in it"])
async def test_wherever_it_stops_the_next_try_ends_it(
    here: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    await fill(here)
    old = here.load_master_key()

    class Stopped(BaseException):
        pass

    def stop(*_: object, **__: object) -> Any:
        raise Stopped

    with monkeypatch.context() as patched:
        if moment == "before the transaction ends":
            patched.setattr(rotating, "audit", stop)
        elif moment == "before the swap":
            patched.setattr(rotating, "_swap", stop)
        else:
            patched.setattr(Path, "replace", stop)
        with pytest.raises(Stopped):
            await rotating.rotate(here, None)
    assert here.load_master_key().fingerprint == old.fingerprint
    if moment == "before the transaction ends":
        await everything_is_under(here, old)
    else:
        async with open_runtime(here, "tests") as runtime:
            with pytest.raises(MasterKeyError, match="was interrupted: run `sluse rotate"):
                await runtime.load_master_key()
    promised = MasterKey.from_file(here.next_master_key_file).fingerprint
    done = await rotating.rotate(here, None)
    assert here.load_master_key().fingerprint == promised == done.new.fingerprint
    await everything_is_under(here, here.load_master_key())
    assert done.earlier is not None
    assert MasterKey.from_file(done.earlier).fingerprint == old.fingerprint


async def test_a_key_from_the_environment_gets_a_file_beside(
    here: Settings, tmp_path: Path
) -> None:
    await fill(here)
    text_of = here.master_key_file.read_text().strip()
    fixed = type(here).model_validate(here.model_dump() | {"master_key": text_of})
    with pytest.raises(StartError, match="`--into`"):
        await rotating.rotate(fixed, None)
    done = await rotating.rotate(fixed, tmp_path / "new.key")
    assert done.earlier is None
    await everything_is_under(here, MasterKey.from_file(tmp_path / "new.key"))
    # Once more, before anybody has put the new one in its place: nothing is left to do.
    again = await rotating.rotate(fixed, tmp_path / "new.key")
    assert again.rows == {} and again.new.fingerprint == done.new.fingerprint
    there = fixed.model_copy(update={"master_key": None, "master_key_file": tmp_path / "new.key"})
    with pytest.raises(StartError, match="holds the present master key"):
        await rotating.rotate(there, tmp_path / "new.key")


async def test_it_is_refused_under_running_services_and_they_do_not_start_under_it(
    here: Settings,
) -> None:
    await fill(here)
    async with open_runtime(here, "one"), open_runtime(here, "another"):
        with pytest.raises(StartError, match="services of Sluse are running"):
            await rotating.rotate(here, None)
    ledger = Ledger(here)
    async with present(ledger, alone=True):
        with pytest.raises(StartError, match="master key is being changed"):
            async with open_runtime(here, "tests"):
                pass
    await ledger.close()


async def test_a_row_that_can_not_be_opened_changes_nothing(here: Settings) -> None:
    await fill(here)
    old = here.load_master_key()
    await change(here, Webhook, 1, secret=MasterKey(MasterKey.generate()).encrypt(b"x"))
    with pytest.raises(MasterKeyError):
        await rotating.rotate(here, None)
    (projects, throttles) = await all_rows(here, Project, Coupling)
    old.decrypt(projects[0]["secret"])
    assert throttles[0]["patient_key"] == PATIENT.index(old)
    await change(here, Webhook, 1, secret=old.encrypt(WEBHOOK))
    await change(here, Coupling, 1, patient_key="0" * 64)
    with pytest.raises(MasterKeyError, match="row 1 of coupling"):
        await rotating.rotate(here, None)


async def test_a_service_whose_connection_broke_goes_on_only_under_its_key(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.ledger.presence._LOOK", 0.2)
    here = on(settings, postgres_url)
    await fill(here)
    async with open_runtime(here, "tests") as runtime:
        await runtime.load_master_key()
        stop = asyncio.Event()
        staying = asyncio.create_task(runtime.stay_present(stop))
        # Broken and regained: nobody else can have been there.
        await cut(runtime.ledger)
        await until(lambda: holds(runtime.ledger))
        assert not staying.done()
        with pytest.raises(StartError, match="services of Sluse are running"):
            await rotating.rotate(here, None)
        # Broken, and the key was changed before it could be regained.
        monkeypatch.setattr("shared.ledger.presence._LOOK", 30)
        await asyncio.sleep(0.5)
        await cut(runtime.ledger)
        await rotating.rotate(here, None)
        monkeypatch.setattr("shared.ledger.presence._LOOK", 0.2)
        staying.cancel()
        with pytest.raises(MasterKeyError, match="changed while this service ran"):
            await asyncio.wait_for(runtime.stay_present(stop), 20)


async def cut(ledger: Ledger) -> None:
    """Break the connections that hold the lock."""
    async with ledger.transaction() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks "
                "WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )


async def holds(ledger: Ledger) -> bool:
    async with ledger.reading() as connection:
        found = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND "
                "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    return bool(found)


async def test_killed_at_any_moment_it_ends_at_the_next_try(settings: Settings) -> None:
    await fill(settings)
    first = settings.load_master_key()
    data = settings.master_key_file.parent
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-c", "from services.cli import app; app()",
               "rotate-master-key", "--data", str(data)]  # fmt: skip
    moments = random.Random(17)
    for _ in range(3):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        appeared = settings.next_master_key_file
        while process.poll() is None and not appeared.exists():
            await asyncio.sleep(0.001)
        await asyncio.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    present_key = settings.load_master_key()
    assert present_key.fingerprint != first.fingerprint
    await everything_is_under(settings, present_key)
    assert not settings.next_master_key_file.exists()


async def test_that_a_copy_is_kept_is_noted_for_the_key_that_is_in_force(here: Settings) -> None:
    await fill(here)
    ledger = Ledger(here)
    key = here.load_master_key()
    async with ledger.reading() as connection:
        assert not await is_kept(connection, key)
    await note_kept(ledger, key)
    async with ledger.reading() as connection:
        assert await is_kept(connection, key)
        assert not await is_kept(connection, MasterKey(MasterKey.generate()))
    await ledger.close()
