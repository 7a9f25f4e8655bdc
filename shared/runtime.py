"""What `main` hands to a service: the settings and the four things that live outside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.bus import Bus, open_bus
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.schema import migrate, require_current
from shared.settings import Settings
from shared.spool import Spool


@dataclass(frozen=True)
class Runtime:
    """Open for as long as the service runs."""

    settings: Settings
    bus: Bus
    ledger: Ledger
    spool: Spool
    master_key: MasterKey


@asynccontextmanager
async def open_runtime(
    settings: Settings, service: str, *, migrating: bool = False
) -> AsyncIterator[Runtime]:
    """Open bus, ledger and spool for `service`.

    Parameters
    ----------
    migrating
        Bring the database's schema up to date first, instead of refusing an old one.

    Raises
    ------
    OSError
        The spool's folder can't be made.
    MasterKeyError
        The master key is missing or is none.
    SchemaError
        The database needs `sluse migrate`.
    Retry
        The database is away.
    """
    spool = Spool(settings.spool_path)
    spool.prepare()
    ledger = Ledger(settings)
    try:
        if migrating:
            await migrate(ledger)
        else:
            await require_current(ledger)
        master_key = settings.load_master_key()
        async with open_bus(settings, service) as bus:
            yield Runtime(settings, bus, ledger, spool, master_key)
    finally:
        await ledger.close()
