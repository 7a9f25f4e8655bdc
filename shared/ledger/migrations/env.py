"""Alembic's entry: runs the migrations on the connection that `shared.ledger.schema` hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.types import JSON, BigInteger
from sqlmodel.sql.sqltypes import AutoString

from shared.ledger.columns import UtcDateTime
from shared.ledger.tables import METADATA


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write the project's own column types by name into new migrations."""
    if kind != "type":
        return False
    for of, name in ((UtcDateTime, "UtcDateTime()"), (JSON, "Document"), (BigInteger, "BigId")):
        if isinstance(item, of):
            autogen.imports.add(f"from shared.ledger.columns import {name.removesuffix('()')}")
            return name
    if isinstance(item, AutoString) and item.length:
        return f"sa.String({item.length})"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    # SQLite can't alter columns in place.
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=_render,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
