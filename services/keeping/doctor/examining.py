"""All that the doctor looks at, in order, and what it mends on the way."""

import asyncio
from dataclasses import dataclass

from services.keeping.doctor import accounts, installation, mending
from services.keeping.doctor.comparing import Comparison, compare
from services.keeping.findings import Level, Said, some
from shared.ledger import Ledger
from shared.settings import Settings
from shared.spool import Spool

SAMPLE = 0.01
"""Which part of the originals is read and compared, unless all are."""


@dataclass(frozen=True)
class Wishes:
    """How the doctor is to look."""

    every: bool = False
    """Read all originals, and open all secrets."""
    mend: bool = False
    alone: bool = False
    """Nobody else is at work on the database: what is new is nobody's work under way."""
    stuck_hours: float = 24


async def examine(settings: Settings, wishes: Wishes) -> list[Said]:
    """Look at everything; what is to be said about it."""
    said = [installation.files_of_settings(settings)]
    said += await asyncio.to_thread(installation.disk, settings)
    said.append(await installation.broker(settings))
    said += await asyncio.to_thread(installation.ports, settings)
    ledger = Ledger(settings)
    try:
        said.append(await installation.schema(ledger))
        if said[-1].level is Level.OK:
            said += await _with_database(settings, ledger, wishes)
    finally:
        await ledger.close()
    return said


async def _with_database(settings: Settings, ledger: Ledger, wishes: Wishes) -> list[Said]:
    spool = Spool(settings.spool_path)
    async with ledger.reading() as connection:
        said = await installation.master_key(connection, settings, every=wishes.every)
        said += await installation.destinations(connection)
        said.append(
            await installation.clock(connection, spool.inventory(), is_postgres=ledger.is_postgres)
        )
    compared = await compare(
        ledger, spool.inventory(), sample=1.0 if wishes.every else SAMPLE, alone=wishes.alone
    )
    said += await _about_files(ledger, spool, compared, wishes)
    async with ledger.reading() as connection:
        found = await accounts.look(connection)
    about = accounts.said_of(found)
    if wishes.mend and any(found):
        await mending.settle_accounts(ledger, found, settings.patience)
        about = [one.after_mending("put right") for one in about]
    said += about
    async with ledger.reading() as connection:
        said += await accounts.stuck(connection, wishes.stuck_hours)
        said.append(await accounts.dead_letters(connection))
    return said


async def _about_files(
    ledger: Ledger, spool: Spool, found: Comparison, wishes: Wishes
) -> list[Said]:
    said = []
    for one in (_orphans, _leftovers, _copies_gone, _lost):
        said += await one(ledger, spool, found, mend=wishes.mend)
    if found.changed:
        said.append(
            Said("spool", Level.WRONG,
                 f"{len(found.changed)} originals are not what was received: instances "
                 f"{some(found.changed)}",
                 "have the disk checked; put the files back from a backup with its spool")
        )  # fmt: skip
    if found.quarantine_lost:
        said.append(
            Said("spool", Level.WARNING,
                 f"{len(found.quarantine_lost)} quarantined files are gone: "
                 f"{some(found.quarantine_lost)}",
                 "have them sent again; their entries stay")
        )  # fmt: skip
    return said or [
        Said("spool", Level.OK,
             f"all {found.instances} images of the ledger are there, {found.looked_into} of them "
             "compared byte by byte, and no other")
    ]  # fmt: skip


async def _orphans(_: Ledger, spool: Spool, found: Comparison, *, mend: bool) -> list[Said]:
    if not found.orphans:
        return []
    said = Said(
        "spool", Level.WRONG, f"{len(found.orphans)} files are not in the ledger",
        "`sluse doctor --mend` puts them back into the inbox, to be catalogued",
    )  # fmt: skip
    if mend:
        adopted = await asyncio.to_thread(mending.adopt, spool, found.orphans)
        said = said.after_mending(f"{adopted} put back into the inbox, to be catalogued")
    return [said]


async def _leftovers(_: Ledger, spool: Spool, found: Comparison, *, mend: bool) -> list[Said]:
    if not found.leftovers:
        return []
    said = Said(
        "spool", Level.WARNING, f"{len(found.leftovers)} de-identified copies belong to nothing",
        "`sluse doctor --mend` removes them",
    )  # fmt: skip
    if mend:
        removed = await mending.remove_leftovers(spool.inventory(), found.leftovers)
        said = said.after_mending(f"{removed} removed")
    return [said]


async def _copies_gone(ledger: Ledger, _: Spool, found: Comparison, *, mend: bool) -> list[Said]:
    if not found.copies_gone:
        return []
    said = Said(
        "deliveries", Level.WRONG,
        f"{len(found.copies_gone)} images that wait to be sent have no de-identified copy",
        "`sluse doctor --mend` has the copies made again",
    )  # fmt: skip
    if mend:
        started = await mending.start_again(ledger, found.copies_gone)
        said = said.after_mending(f"{started} copies are made again")
    return [said]


async def _lost(ledger: Ledger, spool: Spool, found: Comparison, *, mend: bool) -> list[Said]:
    if not found.lost:
        return []
    said = [
        Said("spool", Level.WRONG,
             f"the originals of {len(found.lost)} images are gone: instances {some(found.lost)}",
             "have these studies sent again: the files take their places")
    ]  # fmt: skip
    if mend and (
        held := await mending.hold_without_original(ledger, spool.inventory(), found.lost)
    ):
        said.append(
            Said("deliveries", Level.WRONG, f"{held} of them were still to be delivered",
                 "held, with the reason", mended=True)
        )  # fmt: skip
    return said
