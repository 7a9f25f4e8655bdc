"""`sluse backup`: the database, a list of the spool, and what else was asked for, in one folder.

Everything is written into a folder beside the one that was named, which gets that name when all of
it is there and durable: there is never half a backup that looks like a whole one. A second try goes
on with the image files that the first one copied.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import select

from services.keeping import contents, databases
from services.keeping.contents import KEY, SPOOL, Description, Entry
from services.keeping.kept import note_kept
from shared.clock import now
from shared.disk import sync_folder
from shared.errors import StartError
from shared.identity import MasterKey, MasterKeyError
from shared.inventory import ROOMS, Inventory
from shared.ledger import Connection, Ledger
from shared.ledger.schema import current_revision, require_current
from shared.ledger.tables import Instance, Series, Study, core
from shared.settings import Settings

COUNTED = (
    "project", "participant", "coupling", "study", "instance", "transfer", "delivery", "account",
    "audit_event",
)  # fmt: skip
"""The tables whose rows tell people what is in a database."""


@dataclass(frozen=True)
class Wishes:
    """What is to be in a backup besides the database and the list of the spool."""

    with_key: bool = False
    with_spool: bool = False
    linked: bool = False
    """The spool's files as further names of the same files, where the disk is the same."""
    portable: bool = False
    """The database in a form that PostgreSQL and SQLite both take."""


async def back_up(settings: Settings, target: Path, wishes: Wishes) -> Description:
    """Make the backup `target`; what it is of.

    Raises
    ------
    StartError
        It can't be made: says why.
    """
    key = _master_key(settings, needed=wishes.with_key)
    ledger = Ledger(settings)
    try:
        await require_current(ledger)
        with _partial(target) as folder:
            description = await _fill(settings, ledger, folder, key, wishes)
            await asyncio.to_thread(contents.seal, folder)
            folder.rename(target)
            sync_folder(target.parent)
        if wishes.with_key and key is not None:
            await note_kept(ledger, key)
    finally:
        await ledger.close()
    return description


def _master_key(settings: Settings, *, needed: bool) -> MasterKey | None:
    try:
        return settings.load_master_key()
    except MasterKeyError:
        if needed:
            raise
        return None


async def _fill(
    settings: Settings, ledger: Ledger, folder: Path, key: MasterKey | None, wishes: Wishes
) -> Description:
    revision = await current_revision(ledger)
    assert revision is not None
    made_at, spool = now(), Inventory(settings.spool_path)
    # First the database, then the spool: what the one knows of is in the other, or further on.
    async with databases.taken(ledger, settings, folder, portable=wishes.portable) as (kind, seen):
        description = Description(
            sluse=version("sluse"), revision=revision, kind=kind, made_at=made_at,
            master_key=key and key.fingerprint, rows=await databases.rows_in(seen, COUNTED),
            with_spool=wishes.with_spool,
        )  # fmt: skip
        with contents.writing_entries(folder) as listing:
            async for some in _entries(spool, seen):
                await asyncio.to_thread(listing.add, some)
    if wishes.with_spool:
        # Not in the database's transaction, which would be open for hours.
        listing = await asyncio.to_thread(_copy_spool, spool, folder, wishes.linked)
    description.files, description.size = listing.files, listing.size
    if wishes.with_key and key is not None:
        key.write(folder / KEY)
    contents.write_description(folder, description)
    return description


async def _entries(spool: Inventory, seen: Connection) -> AsyncIterator[list[Entry]]:
    """The spool's files, folder by folder, with the digests that the ledger has of originals."""
    for room in ROOMS:
        for folder in await asyncio.to_thread(spool.folders, room):
            files = await asyncio.to_thread(spool.in_folder, room, folder)
            digests = await _digests(seen, folder) if room == "received" else {}
            yield [
                Entry(name=one.name, size=one.size, digest=digests.get(one.name, ""))
                for one in files
            ]


async def _digests(seen: Connection, study_uid: str) -> dict[str, str]:
    instance, series, study = core(Instance), core(Series), core(Study)
    rows = await seen.execute(
        select(instance.c.spool_key, instance.c.digest)
        .join_from(instance, series)
        .join(study)
        .where(study.c.study_instance_uid == study_uid)
    )
    return {row.spool_key: row.digest for row in rows}


def _copy_spool(spool: Inventory, folder: Path, linked: bool) -> contents.Listing:
    """Copy what is listed; what is gone meanwhile has moved on, and is left out."""
    copies = Inventory(folder / SPOOL)
    copies.remove(one.name for one in copies.files() if spool.size(one.name) is None)
    with contents.writing_entries(folder, anew=True) as listing:
        for entry in contents.read_entries(folder):
            with suppress(FileNotFoundError):
                digest = _copied(spool.path(entry.name), copies.path(entry.name), linked)
                listing.add([entry.model_copy(update={"sha256": digest})])
    for inner, _, _ in os.walk(folder / SPOOL):
        sync_folder(Path(inner))
    return listing


def _copied(source: Path, target: Path, linked: bool) -> str:
    """Have a file in the backup, if it is not there from the last try; its SHA-256."""
    status = source.stat()
    with suppress(FileNotFoundError):
        earlier = target.stat()
        if (earlier.st_size, earlier.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return contents.sha256(target)
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        return _linked(source, target)
    digest = contents.copy(source, target)
    # By its time a copy is known again when this is tried a second time.
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return digest


def _linked(source: Path, target: Path) -> str:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StartError(
            f"the spool's files can't be linked into the backup: {error.strerror}. Copy them "
            "(`--with-spool` without `--linked`), or name a folder on the spool's disk"
        ) from None
    return contents.sha256(target)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """The folder that becomes `target`, this process's alone."""
    if target.exists():
        raise StartError(f"{target} is there already: a backup is a new folder")
    folder = target.parent / f".{target.name}.partial"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StartError(f"no backup can be made in {target.parent}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another backup is being made to {target}") from None
        for one in folder.iterdir():
            if one.name != SPOOL:
                shutil.rmtree(one) if one.is_dir() else one.unlink()
        yield folder
    except OSError as error:
        raise StartError(f"the backup was not made: {error.strerror or error}") from None
    finally:
        os.close(descriptor)
