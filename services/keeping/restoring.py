"""`sluse restore`: puts a backup back, and makes ledger and spool agree again."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.keeping import contents, databases
from services.keeping.backing_up import COUNTED
from services.keeping.contents import KEY, SPOOL, Description
from services.keeping.doctor import examining
from services.keeping.findings import Said
from shared import telemetry
from shared.bus import open_bus
from shared.clock import now
from shared.errors import Retry, StartError
from shared.identity import MasterKey, MasterKeyError
from shared.inventory import Inventory
from shared.ledger import Ledger
from shared.ledger.auditing import Action, Actor, audit
from shared.ledger.presence import present
from shared.ledger.schema import knows, migrate
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("keeping")

_BROKER = 10.0  # seconds for the broker to answer


@dataclass
class Restored:
    """What a restore has done, and what it found."""

    description: Description
    put_back: int = 0
    """Files of the spool that were missing and came from the backup."""
    missing: Counter[str] = field(default_factory=Counter)
    """Files that the backup knows of and that are nowhere, by room."""
    examined: list[Said] = field(default_factory=list)


async def restore(settings: Settings, folder: Path, *, over: bool, with_key: bool) -> Restored:
    """Put the backup `folder` back.

    Parameters
    ----------
    over
        Also over a database that has rows.
    with_key
        Also the master key that is in the backup, where there is none here.

    Raises
    ------
    StartError
        It can't be, or must not be: says why. The database is as it was.
    """
    description = contents.read_description(folder)
    await asyncio.to_thread(contents.check, folder)
    if not knows(description.revision):
        raise StartError(
            f"this backup has a newer schema ({description.revision}) than this version of Sluse: "
            f"restore it with Sluse {description.sluse} or later"
        )
    ledger = Ledger(settings)
    try:
        async with present(ledger, alone=True):
            await _may_be_replaced(ledger, description, over=over)
            _have_key(settings, folder, description, with_key=with_key)
            spool = Spool(settings.spool_path)
            spool.prepare()
            await databases.put_back(ledger, folder, description.kind, description.revision)
            await migrate(ledger)
            done = Restored(description)
            await asyncio.to_thread(_bring_files, spool.inventory(), folder, done)
            await _forget_messages(settings)
            wishes = examining.Wishes(mend=True, alone=True)
            done.examined = await examining.examine(settings, wishes)
            async with ledger.transaction() as connection:
                await audit(
                    connection, Action.BACKUP_RESTORED, actor=Actor.COMMAND_LINE,
                    made_at=description.made_at.isoformat(), restored_at=now().isoformat(),
                    missing=done.missing.total(),
                )  # fmt: skip
    finally:
        await ledger.close()
    return done


async def _may_be_replaced(ledger: Ledger, description: Description, *, over: bool) -> None:
    async with ledger.reading() as connection:
        here = await databases.rows_in(connection, COUNTED)
    if not any(here.values()) or over:
        return
    rows = "\n".join(
        f"  {name:12} {here[name]:>12} here {description.rows.get(name, 0):>12} in the backup"
        for name in here
    )
    raise StartError(
        f"the database is not empty, and would be replaced by what it was at {_when(description)}:"
        f"\n{rows}\nWhatever came or was decided since would be gone from it. If that is what you "
        "want, make a backup of it first, then say `--over-what-is-there`"
    )


def _when(description: Description) -> str:
    return f"{description.made_at:%Y-%m-%d %H:%M} UTC"


def _have_key(
    settings: Settings, folder: Path, description: Description, *, with_key: bool
) -> None:
    """See to it that the key of the backup is the one that Sluse will start with."""
    kept = folder / KEY
    if with_key and not kept.exists():
        raise StartError("there is no master key in this backup: bring it from where you keep it")
    if with_key and settings.master_key is None and not settings.master_key_file.exists():
        settings.master_key_file.parent.mkdir(parents=True, exist_ok=True)
        MasterKey.from_file(kept).write(settings.master_key_file)
    try:
        key = settings.load_master_key()
    except MasterKeyError as error:
        hint = ", or say `--with-key`: the backup has it" if kept.exists() else ""
        raise StartError(f"{error}{hint}") from None
    if description.master_key not in (None, key.fingerprint):
        raise StartError(
            "this backup was made under another master key than the one that is here: bring the "
            f"one with the fingerprint {description.master_key} (this one has {key.fingerprint})"
        )


def _bring_files(spool: Inventory, folder: Path, done: Restored) -> None:
    """Copy what is missing from the backup's files; count what is nowhere."""
    copies = Inventory(folder / SPOOL)
    for entry in _absent(spool, folder):
        try:
            if contents.copy(copies.path(entry.name), spool.path(entry.name)) != entry.sha256:
                spool.remove([entry.name])
                raise StartError(f"the backup is damaged: {entry.name} is not what it was")
            done.put_back += 1
        except FileNotFoundError:
            done.missing[entry.name.partition("/")[0]] += 1


def _absent(spool: Inventory, folder: Path) -> Iterator[contents.Entry]:
    for entry in contents.read_entries(folder):
        if spool.size(entry.name) != entry.size:
            yield entry


async def _forget_messages(settings: Settings) -> None:
    """Throw away messages about what is no more; the reconciler sends those that are needed.

    They would do no harm: whoever gets one looks into the ledger first.
    """
    if settings.bus_url.get_secret_value().startswith("memory:"):
        return
    try:
        async with asyncio.timeout(_BROKER), open_bus(settings, "restore") as bus:
            while True:
                try:
                    await bus.purge()
                    break
                except Retry:
                    await asyncio.sleep(0.2)
    except (TimeoutError, OSError):
        log.warning("the broker does not answer; its messages stay")
