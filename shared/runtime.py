"""What `main` hands to a service: the settings and the things that live outside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import select

from shared import telemetry
from shared.bus import Bus, open_bus
from shared.errors import Retry
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.schema import migrate, require_current
from shared.ledger.tables import Project, core
from shared.pressure import Pressure
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("runtime")

_DATABASE_WAIT = 2.0  # seconds between looks for a database that does not answer yet


def _log_door(door: str, port: int) -> None:
    log.info("listening", door=door, port=port)


@dataclass(frozen=True)
class Runtime:
    """Open for as long as the service runs."""

    settings: Settings
    bus: Bus
    ledger: Ledger
    spool: Spool
    pressure: Pressure
    """Whether images are taken in."""
    opened: Callable[[str, int], None] = _log_door
    """Told by a service when it listens: which door, `DICOM` or `HTTP`, and its port."""

    async def load_master_key(self) -> MasterKey:
        """The master key, tried on a project's secret.

        Raises
        ------
        MasterKeyError
            It is missing, is none, or is not the one that the projects' keys were encrypted under.
        Retry
            The database is away.
        """
        async with self.ledger.reading() as connection:
            secret = await connection.scalar(select(core(Project).c.secret).limit(1))
        key = self.settings.load_master_key(new=secret is None)
        if secret is not None:
            key.decrypt(secret)
        return key


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    service: str,
    *,
    migrating: bool = False,
    opened: Callable[[str, int], None] = _log_door,
) -> AsyncIterator[Runtime]:
    """Open bus, ledger and spool for `service`; waits for a database server that is not up yet.

    Parameters
    ----------
    migrating
        Bring the database's schema up to date first, instead of refusing an old one.
    opened
        What the runtime's `opened` is to be.

    Raises
    ------
    StartError
        The spool's folder can't be made or written, or the database needs `sluse migrate`.
    Retry
        The database file can't be opened.
    """
    spool = Spool(settings.spool_path)
    spool.prepare()
    ledger = Ledger(settings)
    try:
        await _open_ledger(ledger, migrate if migrating else require_current)
        async with open_bus(settings, service) as bus:
            yield Runtime(settings, bus, ledger, spool, Pressure(settings), opened)
    finally:
        await ledger.close()


async def _open_ledger(ledger: Ledger, check: Callable[[Ledger], Awaitable[None]]) -> None:
    while True:
        try:
            return await check(ledger)
        except Retry as error:
            # A database server may start later than its clients; a file does not.
            if not ledger.is_postgres:
                raise
            log.warning("waiting for the database", reason=error.reason, detail=error.detail)
        await asyncio.sleep(_DATABASE_WAIT)
