"""Who works on the database: services, side by side; or one who needs it alone.

Changing the master key and restoring a backup can't be done under running services: what they still
write would be under the old key, or about what is no more. So each service holds a shared lock for
as long as it runs, and those two an exclusive one. It goes with the process, however it ends.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from shared import telemetry
from shared.errors import Reason, Retry, StartError
from shared.ledger.database import Ledger

log = telemetry.logger("presence")

_KEY = 7_355_874  # any number, the same for all who work on this database
_LOOK = 5.0  # seconds between looks whether the lock is still held
_AGAIN = 1.0  # seconds between tries to have it back
_AWAY = (DBAPIError, OSError, TimeoutError)


class Presence:
    """The lock of one process.

    It is held on a connection of its own, which takes no part in the work.
    """

    def __init__(self, ledger: Ledger, *, alone: bool) -> None:
        self._ledger, self._alone = ledger, alone
        self._connection: AsyncConnection | None = None
        self._descriptor: int | None = None

    async def take(self) -> None:
        """Take the lock.

        Raises
        ------
        StartError
            Others work on the database who can't be there at the same time.
        Retry
            The database is away.
        """
        try:
            granted = await self._lock() if self._ledger.is_postgres else self._lock_file()
        except _AWAY as error:
            raise Retry(Reason.DATABASE_AWAY, type(error).__name__) from error
        if granted:
            return
        await self.leave()
        if self._alone:
            raise StartError(
                "services of Sluse are running on this database: stop them first, all of them"
            )
        raise StartError(
            "this database is being restored, or its master key is being changed: start again "
            "when that is over"
        )

    async def keep(self, stop: asyncio.Event, check: Callable[[], Awaitable[None]]) -> None:
        """See to it that the lock is held, until `stop` is set.

        When the connection that held it has broken, somebody may have had the database alone
        meanwhile: once the lock is back, `check` says whether to go on.

        Raises
        ------
        StartError
            It can't be had any more, or `check` objects.
        """
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK)
            if not stop.is_set() and not await self._holds():
                await self._regain(stop, check)

    async def leave(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(*_AWAY):
                await connection.invalidate()
                await connection.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def _regain(self, stop: asyncio.Event, check: Callable[[], Awaitable[None]]) -> None:
        log.warning("the database broke the connection that says that Sluse runs")
        while not stop.is_set():
            await self.leave()
            try:
                await self.take()
                await check()
                break
            except Retry:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _AGAIN)

    async def _holds(self) -> bool:
        if self._connection is None:
            return self._descriptor is not None
        try:
            async with asyncio.timeout(_LOOK):
                await self._connection.execute(text("SELECT 1"))
        except _AWAY:
            return False
        return True

    async def _lock(self) -> bool:
        # Not of the pool, which may be as small as one; never in a transaction, which would keep
        # the database from clearing up.
        engine = create_async_engine(
            self._ledger.engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        self._connection = await engine.connect()
        shared = "" if self._alone else "_shared"
        granted = await self._connection.scalar(
            text(f"SELECT pg_try_advisory_lock{shared}(:key)"), {"key": _KEY}
        )
        return bool(granted)

    def _lock_file(self) -> bool:
        name = f"{self._ledger.engine.url.database}.lock"
        self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        how = fcntl.LOCK_EX if self._alone else fcntl.LOCK_SH
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def present(ledger: Ledger, *, alone: bool = False) -> AsyncIterator[Presence]:
    """Work on the database while the block runs, beside others or alone.

    Raises
    ------
    StartError, Retry
        As `Presence.take`.
    """
    presence = Presence(ledger, alone=alone)
    await presence.take()
    try:
        yield presence
    finally:
        await asyncio.shield(presence.leave())
