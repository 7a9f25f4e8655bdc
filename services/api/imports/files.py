"""The files of an import: named, listed, and left out again."""

import asyncio
import hashlib
from collections.abc import Iterable

from sqlalchemy import delete, func, select, update

from services.api.imports.reporting import is_missing
from services.api.imports.schemas import FileCreate, FileRead, ItemRead
from services.api.imports.service import get, locked, move, require
from services.api.paging import Page, page_of
from services.api.problems import FieldError, ProblemError, not_found
from shared.clock import now
from shared.importing import Kind, Why
from shared.ledger import Connection
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportFile, ImportItem, core
from shared.ledger.writing import insert_or
from shared.runtime import Runtime

_import, _file, _item = core(Import), core(ImportFile), core(ImportItem)
_AT_ONCE = 500  # names in one query


async def name(runtime: Runtime, import_id: int, files: list[FileCreate]) -> list[FileRead]:
    """Enter files. One that was named before with the same size goes on where it was; with
    another size it begins anew, unless it was read already. A problem where that is so, where they
    are too many or too large, or the disk is full.
    """
    wanted = {_key(one.path): one for one in files}
    if len(wanted) < len(files):
        raise ProblemError(
            422,
            "The request breaks a rule.",
            [FieldError(field="files", message="Name each file once.")],
        )
    async with runtime.ledger.transaction() as connection:
        found = await locked(connection, import_id)
        require(found.state, ImportState.UPLOADING, ImportState.REVIEW)
        changed = await _replace_changed(connection, import_id, wanted)
        await _enter(connection, import_id, wanted)
        if found.state == ImportState.REVIEW and await _has_unread(connection, import_id):
            await move(connection, import_id, ImportState.UPLOADING)
        await _check(runtime, connection, import_id)
        rows = await _named(connection, import_id, wanted)
    staging = runtime.spool.staging(found.association_id)
    for number in changed:
        await asyncio.to_thread(staging.drop, number)
    return [rows[key] for key in wanted]


async def list_page(
    connection: Connection, import_id: int, *, incomplete: bool, limit: int, after: int | None
) -> Page[FileRead]:
    """An import's files, in the order in which they were entered."""
    await get(connection, import_id)
    query = (
        select(_file.c.id, _file.c.path, _file.c.size, _file.c.received.label("offset"))
        .where(_file.c.import_id == import_id, _file.c.id > (after or 0))
        .order_by(_file.c.id)
        .limit(limit + 1)
    )
    if incomplete:
        query = query.where(_file.c.received < _file.c.size)
    rows = (await connection.execute(query)).mappings()
    return page_of([FileRead.model_validate(dict(row)) for row in rows], limit)


async def items_page(
    connection: Connection, import_id: int, *, kind: Kind | None, limit: int, after: int | None
) -> Page[ItemRead]:
    """What was found in an import; of what a DICOMDIR names, only what is missing."""
    await get(connection, import_id)
    query = (
        select(_item)
        .where(_item.c.import_id == import_id, _item.c.id > (after or 0))
        .where(is_missing() if kind is Kind.NAMED else (_item.c.kind != Kind.NAMED) | is_missing())
        .order_by(_item.c.id)
        .limit(limit + 1)
    )
    if kind is not None:
        query = query.where(_item.c.kind == kind)
    rows = (await connection.execute(query)).mappings()
    found = [
        ItemRead.model_validate(dict(row) | {"why": Why(row["why"]).in_words if row["why"] else ""})
        for row in rows
    ]
    return page_of(found, limit)


async def leave_out(runtime: Runtime, import_id: int, file_id: int) -> None:
    """Take a file out of an import: one that can't be read from a scratched CD, say."""
    async with runtime.ledger.transaction() as connection:
        found = await locked(connection, import_id)
        require(found.state, ImportState.UPLOADING)
        gone = await connection.scalar(
            delete(_file)
            .where(_file.c.id == file_id, _file.c.import_id == import_id, _file.c.read_at.is_(None))
            .returning(_file.c.id)
        )
        if gone is None:
            raise not_found("file that could be left out")
    await asyncio.to_thread(runtime.spool.staging(found.association_id).drop, file_id)


async def _has_unread(connection: Connection, import_id: int) -> bool:
    """Whether more is to be read than before: what is on the second CD, say."""
    unread = select(_file.c.id).where(_file.c.import_id == import_id, _file.c.read_at.is_(None))
    return await connection.scalar(unread.limit(1)) is not None


async def _replace_changed(
    connection: Connection, import_id: int, wanted: dict[str, FileCreate]
) -> list[int]:
    """Remove the rows of files that have another size now; their numbers."""
    rows = await _named(connection, import_id, wanted)
    changed = [one.id for key, one in rows.items() if one.size != wanted[key].size]
    if not changed:
        return []
    gone = await connection.scalars(
        delete(_file)
        .where(_file.c.id.in_(changed), _file.c.read_at.is_(None))
        .returning(_file.c.id)
    )
    if left := sorted(set(changed) - set(gone)):
        # What was found in it stands already, and what else was left out as equal to that.
        message = "It has another size than before. Discard the import, and begin a new one."
        errors = [FieldError(field=f"files.{one}", message=message) for one in left]
        raise ProblemError(409, "A file has changed since it was read.", errors)
    return changed


async def _enter(connection: Connection, import_id: int, wanted: dict[str, FileCreate]) -> None:
    moment = now()
    await connection.execute(
        insert_or(connection, _file).on_conflict_do_nothing(
            index_elements=["import_id", "path_key"]
        ),
        [
            {
                "import_id": import_id,
                "path": one.path,
                "path_key": key,
                "size": one.size,
                "received": 0,
                "changed_at": moment,
            }
            for key, one in wanted.items()
        ],
    )
    await connection.execute(
        update(_import).where(_import.c.id == import_id).values(changed_at=moment)
    )


async def _check(runtime: Runtime, connection: Connection, import_id: int) -> None:
    """Refuse what is too much for an import, or for the disk as it is now."""
    settings = runtime.settings
    row = await connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(_file.c.size), 0),
            func.coalesce(func.sum(_file.c.size - _file.c.received), 0),
        ).where(_file.c.import_id == import_id)
    )
    files, size, outstanding = row.one()
    if files > settings.import_max_files:
        raise ProblemError(413, f"An import has at most {settings.import_max_files} files.")
    if size > settings.import_max_bytes:
        most = settings.import_max_bytes / (1 << 30)
        raise ProblemError(413, f"An import has at most {most:.3g} GiB.")
    if outstanding > await asyncio.to_thread(runtime.spool.free):
        raise ProblemError(507, "The disk of Sluse has no room for these files.")


async def _named(
    connection: Connection, import_id: int, keys: Iterable[str]
) -> dict[str, FileRead]:
    wanted = list(keys)
    found: dict[str, FileRead] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        rows = await connection.execute(
            select(
                _file.c.path_key,
                _file.c.id,
                _file.c.path,
                _file.c.size,
                _file.c.received.label("offset"),
            ).where(
                _file.c.import_id == import_id,
                _file.c.path_key.in_(wanted[start : start + _AT_ONCE]),
            )
        )
        found |= {row["path_key"]: FileRead.model_validate(dict(row)) for row in rows.mappings()}
    return found


def _key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()
