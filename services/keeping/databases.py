"""Takes the database into a backup at one moment, while services work on it, and puts it back."""

import asyncio
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection as SyncConnection

from services.keeping import tables
from services.keeping.contents import Kind
from shared import telemetry
from shared.errors import StartError
from shared.ledger import Connection, Ledger
from shared.ledger.schema import migrate_on
from shared.ledger.tables import METADATA
from shared.settings import Settings

log = telemetry.logger("keeping")

_SQLITE, _PG_DUMP = "database.sqlite", "database.pgdump"
_VERSION = "alembic_version"


@asynccontextmanager
async def taken(
    ledger: Ledger, settings: Settings, folder: Path, *, portable: bool
) -> AsyncIterator[tuple[Kind, Connection]]:
    """Write the database into `folder`; how, and a connection that sees what was written.

    Raises
    ------
    StartError
        pg_dump failed.
    """
    if ledger.is_postgres:
        async with ledger.engine.connect() as fresh:
            connection = await fresh.execution_options(isolation_level="REPEATABLE READ")
            async with connection.begin():
                kind = await _dump(connection, ledger, folder, portable=portable)
                yield kind, connection
        return
    await asyncio.to_thread(_copy_sqlite, Path(str(ledger.engine.url.database)), folder / _SQLITE)
    url = SecretStr(f"sqlite+aiosqlite:///{(folder / _SQLITE).resolve()}")
    copy = Ledger(settings.model_copy(update={"database_url": url}))
    try:
        async with copy.reading() as connection:
            if portable:
                await tables.dump(connection, folder)
            yield (Kind.TABLES if portable else Kind.SQLITE), connection
    finally:
        await copy.close()
        for suffix in ("-wal", "-shm", *([""] if portable else [])):
            (folder / f"{_SQLITE}{suffix}").unlink(missing_ok=True)


async def put_back(ledger: Ledger, folder: Path, kind: Kind, revision: str) -> None:
    """Replace the database by the one in a backup, in one step: all of it or nothing.

    Raises
    ------
    StartError
        It is one for another kind of database, or can't be put back.
    """
    if kind is Kind.TABLES:
        async with ledger.migrating() as connection:
            await _empty(connection)
            await migrate_on(connection, ledger, revision)
            await tables.load(connection, folder)
    elif kind is Kind.PG_DUMP and ledger.is_postgres:
        await _load_dump(ledger, folder)
    elif kind is Kind.SQLITE and not ledger.is_postgres:
        target = Path(str(ledger.engine.url.database))
        await ledger.close()
        await asyncio.to_thread(_copy_sqlite, folder / _SQLITE, target)
    else:
        here = "PostgreSQL" if ledger.is_postgres else "SQLite"
        raise StartError(
            f"this backup was made by {kind} and can't be restored into {here}: restore it where "
            "it comes from, and make another one there with `sluse backup --portable`"
        )


async def _dump(connection: Connection, ledger: Ledger, folder: Path, *, portable: bool) -> Kind:
    if not portable and shutil.which("pg_dump"):
        snapshot = await connection.scalar(text("SELECT pg_export_snapshot()"))
        failed = await _postgres(
            ledger, "pg_dump", "--format=custom", "--no-owner", "--no-privileges",
            f"--snapshot={snapshot}", f"--file={folder / _PG_DUMP}",
            *(f"--table={name}" for name in (*METADATA.tables, _VERSION)),
        )  # fmt: skip
        if failed is None:
            return Kind.PG_DUMP
        # Usually of an older version than the server. Its words may quote what is in the tables.
        log.warning("pg_dump failed; the tables are written one by one instead", code=failed)
        (folder / _PG_DUMP).unlink(missing_ok=True)
    await tables.dump(connection, folder)
    return Kind.TABLES


async def _load_dump(ledger: Ledger, folder: Path) -> None:
    for program in ("pg_restore", "psql"):
        if shutil.which(program) is None:
            raise StartError(f"this backup needs {program}, which is not on this machine")
    async with ledger.reading() as connection:
        names = await connection.run_sync(_ours)
    script = folder.parent / f".{folder.name}.restoring.sql"
    try:
        # One script, one transaction: with pg_restore alone, what is there would go first.
        drops = "".join(f'DROP TABLE "{name}" CASCADE;\n' for name in names)
        script.touch(0o600)
        failed = await _postgres(
            ledger, "pg_restore", "--no-owner", "--no-privileges", f"--file={script}",
            str(folder / _PG_DUMP),
        )  # fmt: skip
        if failed is None:
            failed = await _postgres(
                ledger, "psql", "--no-psqlrc", "--quiet", "--single-transaction",
                "--set=ON_ERROR_STOP=1", "--output=/dev/null", f"--command={drops or 'SELECT 1'}",
                f"--file={script}",
            )  # fmt: skip
    finally:
        script.unlink(missing_ok=True)
    if failed is not None:
        raise StartError(
            "the database could not be put back, and is as it was: PostgreSQL's programs ended "
            f"with {failed}. They must not be older than those that made the backup"
        )


async def _postgres(ledger: Ledger, program: str, *arguments: str) -> int | None:
    """Run one of PostgreSQL's programs on the database; its exit code, None where it is 0."""
    url = ledger.engine.url
    address = {
        "PGHOST": str(url.query.get("host") or url.host or ""), "PGPORT": str(url.port or 5432),
        "PGUSER": url.username or "", "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        program, *arguments,
        env=os.environ | {name: value for name, value in address.items() if value},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait() or None


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's online backup: of one moment, whoever writes; and in one transaction."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _ours(connection: SyncConnection) -> list[str]:
    """Our tables; also those of a newer version, which refer to them."""
    inspector = inspect(connection)
    there = inspector.get_table_names()
    known = {*METADATA.tables, _VERSION}
    refer = {
        name
        for name in there
        if any(key["referred_table"] in known for key in inspector.get_foreign_keys(name))
    }
    return sorted(name for name in there if name in known | refer)


async def _empty(connection: Connection) -> None:
    names = await connection.run_sync(_ours)
    cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
    for name in names:
        assert re.fullmatch(r"[a-z_]+", name)
        await connection.exec_driver_sql(f'DROP TABLE "{name}"{cascade}')


async def rows_in(connection: Connection, names: tuple[str, ...]) -> dict[str, int]:
    """How many rows those of the tables have that there are."""

    def count(sync: SyncConnection) -> dict[str, int]:
        there = set(inspect(sync).get_table_names())
        found: dict[str, Any] = {}
        for name in names:
            if name in there:
                found[name] = sync.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar()  # noqa: S608
        return found

    return await connection.run_sync(count)
