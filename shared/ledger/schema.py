"""Brings the database's schema up to date, and refuses to work on one that is not."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection as SyncConnection

from shared.errors import StartError
from shared.ledger.database import Connection, Ledger

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7_355_873  # any number, the same for all who migrate this database


class SchemaError(StartError):
    """The database's schema is not the one this version of Sluse works on."""


def _config(connection: SyncConnection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def migrate(ledger: Ledger, revision: str = "head") -> None:
    """Upgrade the schema to `revision`; several processes may try at once."""
    async with ledger.migrating() as connection:
        await migrate_on(connection, ledger, revision)


async def migrate_on(connection: Connection, ledger: Ledger, revision: str) -> None:
    """The same in a transaction that is open already (`Ledger.migrating`)."""

    def upgrade(connection: SyncConnection) -> None:
        if ledger.is_postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(connection), revision)

    await connection.run_sync(upgrade)


def knows(revision: str) -> bool:
    """Whether this version of Sluse has, or had, the schema `revision`."""
    return any(
        one.revision == revision for one in ScriptDirectory.from_config(_config()).walk_revisions()
    )


async def current_revision(ledger: Ledger) -> str | None:
    """The revision that the database is at; None when it is empty."""

    def read(connection: SyncConnection) -> Any:
        return MigrationContext.configure(connection).get_current_revision()

    async with ledger.reading() as connection:
        revision: str | None = await connection.run_sync(read)
        return revision


async def require_current(ledger: Ledger) -> None:
    """Check that the schema is up to date.

    Raises
    ------
    SchemaError
        It is not; says what to do.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    found = await current_revision(ledger)
    if found != head:
        raise SchemaError(
            f"the database is at revision {found or 'none'}, this version of Sluse needs {head}: "
            "run `sluse migrate`"
        )
