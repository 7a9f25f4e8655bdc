"""Work that only one process does at a time."""

import zlib

from sqlalchemy import func, select

from shared.ledger.database import Connection


async def leads(connection: Connection, work: str) -> bool:
    """Whether this transaction alone does `work` until it ends; others find out at once.

    SQLite has one writer at a time by itself. On PostgreSQL an advisory lock belongs to the
    transaction: it ends with it, however that ends.
    """
    if connection.dialect.name != "postgresql":
        return True
    key = zlib.crc32(f"sluse {work}".encode())
    return bool(await connection.scalar(select(func.pg_try_advisory_xact_lock(key))))
