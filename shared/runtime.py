"""What `main` hands to a service: the settings and the things that live outside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from shared import telemetry
from shared.bus import Bus, open_bus
from shared.errors import Retry
from shared.identity import MasterKey, MasterKeyError
from shared.ledger import Ledger
from shared.ledger.presence import Presence, present
from shared.ledger.schema import migrate, require_current
from shared.ledger.sealing import fits, sample
from shared.pressure import Pressure
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("runtime")

KEEP_THE_KEY = (
    "A master key was made. Keep a copy of it in a safe place, apart from the backups: without it "
    "nobody can ever again say who a participant is, or add to what was delivered"
)

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
    presence: Presence | None = None
    """What keeps others from changing the master key under the services."""
    _keys: list[MasterKey] = field(default_factory=list)

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
            new = await sample(connection) is None
            first = new and self.settings.makes_master_key
            key = self.settings.load_master_key(new=new)
            if not await fits(connection, key):
                raise MasterKeyError(self._why_it_does_not_fit())
        if first:
            log.warning(KEEP_THE_KEY, file=str(self.settings.master_key_file))
        self._keys[:] = [key]
        return key

    async def stay_present(self, stop: asyncio.Event) -> None:
        """See to it, until `stop` is set, that nobody changes the database's foundations.

        Raises
        ------
        StartError
            Somebody did, while the connection to the database was broken.
        """
        if self.presence is not None:
            await self.presence.keep(stop, self._go_on)

    async def _go_on(self) -> None:
        await require_current(self.ledger)
        if not self._keys:
            return
        async with self.ledger.reading() as connection:
            if not await fits(connection, self._keys[0]):
                raise MasterKeyError(
                    "the master key was changed while this service ran: start it with the new one"
                )

    def _why_it_does_not_fit(self) -> str:
        if self.settings.next_master_key_file.exists():
            return (
                "a change of the master key was interrupted: run `sluse rotate-master-key` again, "
                "which ends it"
            )
        return (
            "this is not the master key that the projects' keys were encrypted under: put the "
            "right one back from your backup"
        )


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
        async with AsyncExitStack() as stack:

            async def open_ledger(ledger: Ledger) -> None:
                presence.append(await stack.enter_async_context(present(ledger)))
                await (migrate if migrating else require_current)(ledger)

            presence: list[Presence] = []
            await _open_ledger(ledger, open_ledger)
            bus = await stack.enter_async_context(open_bus(settings, service))
            yield Runtime(settings, bus, ledger, spool, Pressure(settings), opened, presence[-1])
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
