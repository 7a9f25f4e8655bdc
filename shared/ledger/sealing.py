"""What stands in the ledger under the master key, and how it comes under another one."""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, delete, select, update

from shared.identity import MasterKey, MasterKeyError
from shared.ledger.couplings import Kind
from shared.ledger.database import Connection
from shared.ledger.tables import (
    AnsweredPost,
    Coupling,
    CouplingEntry,
    Preview,
    Project,
    Throttle,
    Webhook,
    WebSession,
    core,
)

_AT_ONCE = 1000


class Sealed(NamedTuple):
    """A column that holds what the master key encrypted."""

    table: Table
    column: str
    found_in: str | None = None
    """The column by which the secret is found: a keyed hash of it."""
    found_by: Callable[[Any, bytes], tuple[str, str]] | None = None
    """Kind and value that were hashed, from the row and its secret."""


def _patient(_: Any, secret: bytes) -> tuple[str, str]:
    return Kind.PATIENT, json.loads(secret)["id"]


def _listed(row: Any, secret: bytes) -> tuple[str, str]:
    return row.kind, secret.decode()


SEALED = (
    Sealed(core(Project), "secret"),
    Sealed(core(Coupling), "original", "patient_key", _patient),
    Sealed(core(CouplingEntry), "value", "value_key", _listed),
    Sealed(core(Webhook), "secret"),
    Sealed(core(AnsweredPost), "body"),
    Sealed(core(Preview), "result"),
)
"""All of them. A test compares this with the tables."""

BOUND = (core(Throttle), core(WebSession), core(AnsweredPost))
"""Rows that mean nothing under another key: keyed hashes of what nobody knows any more, and
sessions whose cookies the key signed."""


async def sample(connection: Connection) -> str | None:
    """Something that is encrypted and stays: what tells whether a key is the right one."""
    for model in (Project, Webhook):
        found: str | None = await connection.scalar(select(core(model).c.secret).limit(1))
        if found is not None:
            return found
    return None


async def fits(connection: Connection, key: MasterKey) -> bool:
    """Whether `key` opens what is in the ledger; any does where nothing is."""
    token = await sample(connection)
    if token is None:
        return True
    try:
        key.decrypt(token)
    except MasterKeyError:
        return False
    return True


async def unreadable(connection: Connection, key: MasterKey) -> dict[str, int]:
    """How many secrets `key` does not open, by table; tables without any are left out."""
    found: dict[str, int] = {}
    for sealed in SEALED:
        last = 0
        while some := await _after(connection, sealed, last):
            bad = sum(not _opens(key, getattr(row, sealed.column)) for row in some)
            if bad:
                found[sealed.table.name] = found.get(sealed.table.name, 0) + bad
            last = some[-1].id
    return found


async def seal_anew(connection: Connection, old: MasterKey, new: MasterKey) -> dict[str, int]:
    """Bring everything from under one master key under another; how many rows, by table.

    Nobody else may be working on the ledger (`shared.ledger.presence`).

    Raises
    ------
    MasterKeyError
        Something was encrypted under another key than `old`: nothing may be committed.
    """
    done = {}
    for sealed in SEALED:
        done[sealed.table.name] = await _seal_table(connection, sealed, old, new)
    for table in BOUND:
        await connection.execute(delete(table))
    return done


async def _seal_table(
    connection: Connection, sealed: Sealed, old: MasterKey, new: MasterKey
) -> int:
    table, names = sealed.table, [name for name in (sealed.column, sealed.found_in) if name]
    statement = (
        update(table)
        .where(table.c.id == bindparam("b_id"))
        .values({name: bindparam(f"v_{name}") for name in names})
    )
    count, last = 0, 0
    while some := await _after(connection, sealed, last):
        last = some[-1].id
        changed = [_sealed_anew(row, sealed, old, new) for row in some]
        await connection.execute(statement, changed)
        count += len(changed)
    return count


def _sealed_anew(row: Any, sealed: Sealed, old: MasterKey, new: MasterKey) -> dict[str, Any]:
    secret = old.decrypt(getattr(row, sealed.column))
    values = {"b_id": row.id, f"v_{sealed.column}": new.encrypt(secret)}
    if sealed.found_in and sealed.found_by:
        kind, value = sealed.found_by(row, secret)
        if old.index(kind, value) != getattr(row, sealed.found_in):
            raise MasterKeyError(
                f"row {row.id} of {sealed.table.name} is not found by what it holds: the database "
                "is damaged, or was changed by hand; nothing was changed"
            )
        values[f"v_{sealed.found_in}"] = new.index(kind, value)
    return values


async def _after(connection: Connection, sealed: Sealed, last: int) -> list[Any]:
    """The next rows that hold a secret at all."""
    table = sealed.table
    wanted: Iterable[str] = {"id", sealed.column, sealed.found_in or "id"}
    if "kind" in table.c:
        wanted = {*wanted, "kind"}
    rows = await connection.execute(
        select(*(table.c[name] for name in sorted(wanted)))
        .where(table.c.id > last, table.c[sealed.column] != "")
        .order_by(table.c.id)
        .limit(_AT_ONCE)
    )
    return list(rows)


def _opens(key: MasterKey, token: str) -> bool:
    try:
        key.decrypt(token)
    except MasterKeyError:
        return False
    return True
