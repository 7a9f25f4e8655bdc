"""The database as lines of JSON, one file per table: what any database can be restored from."""

import gzip
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Date, MetaData, Table, func, insert, select, text
from sqlalchemy.types import JSON, TypeEngine

from shared.ledger import Connection
from shared.ledger.columns import Document, UtcDateTime
from shared.ledger.tables import METADATA

FOLDER = "tables"
_AT_ONCE = 1000
_KINDS: dict[str, TypeEngine[Any]] = {
    "moment": UtcDateTime(),
    "day": Date(),
    "document": Document,
}


async def dump(connection: Connection, folder: Path) -> None:
    """Write all tables, as the connection's transaction sees them, into `folder`."""
    (folder / FOLDER).mkdir()
    for table in METADATA.sorted_tables:
        with gzip.open(_file(folder, table.name), "wt", encoding="utf-8", compresslevel=3) as file:
            kinds = {column.name: _kind(column) for column in table.columns}
            file.write(json.dumps(kinds) + "\n")
            async with connection.stream(select(table).order_by(*table.primary_key)) as rows:
                async for row in rows:
                    file.write(json.dumps(list(row), default=_as_text, ensure_ascii=False) + "\n")


async def load(connection: Connection, folder: Path) -> None:
    """Fill empty tables, of the schema that the backup has, from `folder`."""
    later: list[tuple[Table, str]] = []
    found: MetaData = MetaData()
    await connection.run_sync(lambda sync: found.reflect(sync))
    for reflected in found.sorted_tables:
        path = _file(folder, reflected.name)
        if not path.exists():
            continue
        with gzip.open(path, "rt", encoding="utf-8") as file:
            kinds = json.loads(next(file))
            table = Table(
                reflected.name,
                MetaData(),
                *(Column(name, _KINDS.get(kind)) for name, kind in kinds.items()),
            )
            for some in _batches(file):
                rows = [_row(kinds, values) for values in some]
                await connection.execute(insert(table), rows)
        if "id" in reflected.c and reflected.c.id.type.python_type is int:
            later.append((reflected, "id"))
    if connection.dialect.name == "postgresql":
        for table, column in later:
            await _go_on_counting(connection, table, column)


async def _go_on_counting(connection: Connection, table: Table, column: str) -> None:
    """Let PostgreSQL number new rows behind those that came with their numbers."""
    highest = await connection.scalar(select(func.max(table.c[column])))
    if highest is not None:
        await connection.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
            {"table": f'"{table.name}"', "column": column, "highest": highest},
        )


def _file(folder: Path, table: str) -> Path:
    return folder / FOLDER / f"{table}.jsonl.gz"


def _kind(column: Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "moment"
    if isinstance(column.type, Date):
        return "day"
    return "document" if isinstance(column.type, JSON) else "plain"


def _as_text(value: object) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} can't be written")


def _row(kinds: dict[str, str], values: list[Any]) -> dict[str, Any]:
    row = dict(zip(kinds, values, strict=True))
    for name, kind in kinds.items():
        if row[name] is not None and kind in ("moment", "day"):
            read = datetime.fromisoformat if kind == "moment" else date.fromisoformat
            row[name] = read(row[name])
    return row


def _batches(lines: Iterator[str]) -> Iterator[list[list[Any]]]:
    batch: list[list[Any]] = []
    for line in lines:
        batch.append(json.loads(line))
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
