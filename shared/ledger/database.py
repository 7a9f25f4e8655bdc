"""Opens the database and hands out transactions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from shared.errors import Reason, Retry
from shared.settings import Settings

Connection = AsyncConnection

# SQLSTATE classes 08 (connection), 40 (serialization, deadlock), 53 (resources), 57P (shutdown).
_PASSING = ("08", "40", "53", "57P")
_SQLITE_BUSY_SECONDS = 30

COMMITTING: ContextVar[Callable[[Connection], Awaitable[None]] | None] = ContextVar(
    "committing", default=None
)
"""Called with each transaction of the context before it is committed, to write with it."""


class Ledger:
    """The database behind `database_url`, on PostgreSQL or SQLite."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.database_url.get_secret_value())
        self.is_postgres = url.get_backend_name() == "postgresql"
        if not self.is_postgres and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        # hide_parameters: an error's text must not quote patient data (law 5).
        options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True}
        if self.is_postgres:
            options |= {"pool_size": settings.database_pool, "max_overflow": 0}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        if not self.is_postgres:
            _tame_sqlite(self.engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A Core transaction that writes; committed when the block ends.

        Raises
        ------
        Retry
            The database is away, busy, or chose this transaction as a deadlock's victim.
        """
        async with self._connected(writes=True) as connection, connection.begin():
            yield connection
            if (note := COMMITTING.get()) is not None:
                await note(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A Core transaction that only reads.

        Raises
        ------
        Retry
            The database is away.
        """
        async with self._connected(writes=False) as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Connection]:
        """A transaction in which tables may be rebuilt.

        SQLite can't alter all of a table in place; while one is dropped and made again, its rows'
        foreign keys are not looked at, and all of them once at the end.

        Raises
        ------
        Retry
            As `transaction`.
        """
        async with self._connected(writes=True) as connection:
            if self.is_postgres:
                async with connection.begin():
                    yield connection
                return
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.execute("PRAGMA foreign_keys=OFF")  # no transaction may be open
            try:
                async with connection.begin():
                    yield connection
                    broken = await connection.exec_driver_sql("PRAGMA foreign_key_check")
                    assert broken.first() is None
            finally:
                await raw.execute("PRAGMA foreign_keys=ON")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """An ORM session in one transaction, for where people click; committed when it ends.

        Raises
        ------
        Retry
            As `transaction`.
        """
        async with (
            self.transaction() as connection,
            AsyncSession(bind=connection, expire_on_commit=False) as session,
        ):
            yield session
            await session.flush()

    @asynccontextmanager
    async def _connected(self, *, writes: bool) -> AsyncIterator[Connection]:
        engine = self.engine.execution_options(sluse_writes=writes)
        try:
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(engine.connect())
                except (OSError, TimeoutError) as error:
                    raise Retry(Reason.DATABASE_AWAY, type(error).__name__) from error
                yield connection
        except DBAPIError as error:
            if _passes(error):
                raise Retry(Reason.DATABASE_AWAY, type(error).__name__) from error
            raise

    async def close(self) -> None:
        """Close all connections."""
        # Shielded: a cancelled service still returns its connections.
        await asyncio.shield(self.engine.dispose())


def _passes(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later."""
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return (
        error.connection_invalidated
        or isinstance(error, InterfaceError)
        or state.startswith(_PASSING)
        or (not state and isinstance(error, OperationalError))
    )


def _tame_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={_SQLITE_BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: SyncConnection) -> None:
        # A writer takes the lock at once: upgrading a read later fails instead of waiting.
        writes = connection.get_execution_options().get("sluse_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
