"""Migrations, on both databases."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from shared.ledger import Ledger
from shared.ledger.schema import SchemaError, _config, current_revision, migrate, require_current
from shared.ledger.tables import METADATA
from shared.runtime import Runtime
from shared.settings import Settings


def _differences(connection: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(connection), METADATA)


async def test_the_migrations_make_the_tables_of_the_models(any_runtime: Runtime) -> None:
    async with any_runtime.ledger.reading() as connection:
        assert await connection.run_sync(_differences) == []
    await require_current(any_runtime.ledger)


async def test_the_migrations_can_be_taken_back(any_runtime: Runtime) -> None:
    def back(connection: Connection) -> list[str]:
        command.downgrade(_config(connection), "base")
        return inspect(connection).get_table_names()

    async with any_runtime.ledger.transaction() as connection:
        assert await connection.run_sync(back) == ["alembic_version"]
    assert await current_revision(any_runtime.ledger) is None
    with pytest.raises(SchemaError, match="sluse migrate"):
        await require_current(any_runtime.ledger)


async def test_several_may_migrate_at_once(postgres_url: str) -> None:
    ledgers = [Ledger(Settings(database_url=postgres_url)) for _ in range(3)]
    await asyncio.gather(*(migrate(ledger) for ledger in ledgers))
    await require_current(ledgers[0])
    for ledger in ledgers:
        await ledger.close()
