"""Statements that PostgreSQL and SQLite spell differently."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from shared.ledger.database import Connection


def insert_or(connection: Connection, table: Table) -> Any:
    """An INSERT that knows `on_conflict_do_…` of the connection's database."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def clip(table: Table, column: str, value: str | None) -> str:
    """`value` cut to what the column holds: senders break the limits of their VRs."""
    length: int = table.c[column].type.length  # type: ignore[attr-defined]
    # PostgreSQL takes no NUL in text.
    return (value or "").replace("\0", "")[:length]
