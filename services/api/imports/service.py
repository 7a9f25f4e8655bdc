"""Begins, shows, finishes and discards imports."""

import asyncio
import uuid
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update

from services.api.admitting import field_errors
from services.api.imports import reporting
from services.api.imports.schemas import ImportCreate, ImportRead
from services.api.paging import Page, newest_first, page_of
from services.api.problems import FieldError, ProblemError, not_found
from services.api.transfers.service import project_of
from shared.admission import refusals
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.assigning import lock_projects
from shared.ledger.auditing import Action, audit
from shared.ledger.states import IMPORT_ENDED, ImportState, import_sources_of
from shared.ledger.tables import Import, ImportFile, ImportItem, ImportStudy, Project, core
from shared.runtime import Runtime

_import, _file, _item, _study = core(Import), core(ImportFile), core(ImportItem), core(ImportStudy)
_project = core(Project)

_MOST_NAMED = 20  # files that a refusal names
_WHY_NOT = {
    ImportState.UPLOADING: "Files are still being sent: finish the upload first.",
    ImportState.READING: "Sluse is looking into the files: wait until that is done.",
    ImportState.REVIEW: "The upload is finished already.",
    ImportState.BRINGING: "It is accepted already.",
    ImportState.ACCEPTED: "It is accepted already.",
    ImportState.DISCARDED: "It was discarded: begin a new one.",
    ImportState.FAILED: "It can't be read: try again with `finish`, or discard it.",
}


async def create(runtime: Runtime, body: ImportCreate) -> int:
    """Begin an import; its id. A problem when the project takes nothing, or too many are open."""
    association_id = uuid.uuid4().hex
    moment = now()
    async with runtime.ledger.transaction() as connection:
        project_id = await project_of(connection, body.project)
        project = (await lock_projects(connection, [project_id]))[project_id]
        _check(project, body)
        under_way = await connection.scalar(
            select(func.count()).select_from(_import).where(_import.c.state.not_in(IMPORT_ENDED))
        )
        if (under_way or 0) >= runtime.settings.import_max_open:
            raise ProblemError(
                503, "Too many imports are under way: accept or discard some of them first."
            )
        values = body.model_dump(exclude={"project"})
        import_id: int = await connection.scalar(
            insert(_import)
            .values(
                **values,
                association_id=association_id,
                project_id=project_id,
                confirmed=False,
                peer_address="",
                state=ImportState.UPLOADING,
                attempts=0,
                counts={},
                created_at=moment,
                changed_at=moment,
            )
            .returning(_import.c.id)
        )
        await asyncio.to_thread(runtime.spool.staging(association_id).make)
    return import_id


def _check(project: Project, body: ImportCreate) -> None:
    """What is said already must be right: better heard now than behind gigabytes."""
    against = [
        one
        for one in refusals(project, body.participant, body.event, body.site, patient_id="")
        if one.field == "project" or getattr(body, one.field)
    ]
    if against:
        raise ProblemError(422, "The request breaks a rule.", field_errors(against, project))


async def list_page(
    connection: Connection,
    *,
    project: str | None = None,
    state: ImportState | None = None,
    within_projects: list[int] | None = None,
    limit: int,
    after: int | None,
) -> Page[ImportRead]:
    """Imports, the newest first.

    Parameters
    ----------
    within_projects
        Only those into these; None for all.
    """
    query = newest_first(reporting.select_imports(), _import.c.id, limit, after)
    if project is not None:
        query = query.where(_project.c.code == project)
    if state is not None:
        query = query.where(_import.c.state == state)
    if within_projects is not None:
        query = query.where(_import.c.project_id.in_(within_projects))
    return page_of(await reporting.read(connection, query), limit)


async def get(connection: Connection, import_id: int) -> ImportRead:
    """One import; a 404 problem when there is none."""
    query = reporting.select_imports().where(_import.c.id == import_id)
    found = await reporting.read(connection, query)
    if not found:
        raise not_found("import")
    return found[0]


async def find(connection: Connection, import_id: int) -> Import:
    """An import's row; a 404 problem when there is none."""
    return await _find(connection, select(_import).where(_import.c.id == import_id))


async def locked(connection: Connection, import_id: int) -> Import:
    """The same, locked until this transaction ends."""
    wanted = select(_import).where(_import.c.id == import_id)
    return await _find(connection, wanted.with_for_update(key_share=True))


async def _find(connection: Connection, wanted: Select[Any]) -> Import:
    row = (await connection.execute(wanted)).mappings().first()
    if row is None:
        raise not_found("import")
    return Import.model_validate(dict(row))


def require(state: str, *states: ImportState) -> None:
    """Make sure that an import's state is one of these; a 409 problem says why it must be."""
    if state not in states:
        raise ProblemError(409, _WHY_NOT[ImportState(state)])


async def move(connection: Connection, import_id: int, state: ImportState, **values: Any) -> bool:
    """Bring an import into a state; False where it can't get there from the one that it is in."""
    values = {"reason": None, "claimed_until": None} | values
    moved = await connection.scalar(
        update(_import)
        .where(_import.c.id == import_id, _import.c.state.in_(import_sources_of(state)))
        .values(state=state, changed_at=now(), **values)
        .returning(_import.c.id)
    )
    return moved is not None


async def finish(connection: Connection, import_id: int) -> None:
    """Everything was sent: Sluse may look into it. A problem where something is missing."""
    found = await locked(connection, import_id)
    require(found.state, ImportState.UPLOADING, ImportState.FAILED)
    incomplete = (_file.c.import_id == import_id) & (_file.c.received < _file.c.size)
    count = await connection.scalar(select(func.count()).select_from(_file).where(incomplete))
    if count:
        rows = await connection.execute(
            select(_file.c.id, _file.c.received, _file.c.size)
            .where(incomplete)
            .order_by(_file.c.id)
            .limit(_MOST_NAMED)
        )
        errors = [
            FieldError(field=f"files.{row.id}", message=f"{row.received} of {row.size} bytes")
            for row in rows
        ]
        title = (
            f"Not everything is here: {count} files are incomplete. Send the rest, or leave them "
            "out (DELETE)."
        )
        raise ProblemError(409, title, errors)
    there = select(_file.c.id).where(_file.c.import_id == import_id).limit(1)
    if await connection.scalar(there) is None:
        raise ProblemError(409, "There are no files in this import yet.")
    await move(connection, import_id, ImportState.READING, attempts=0)


async def discard(
    connection: Connection, import_id: int, *, actor: str | None = None
) -> Import | None:
    """Give an import up; None where it was discarded before. Its folder is the caller's to remove.

    Parameters
    ----------
    actor
        Who does; a user of the REST API unless it is said.
    """
    found = await locked(connection, import_id)
    if found.state == ImportState.DISCARDED:
        return None
    require(found.state, *import_sources_of(ImportState.DISCARDED))
    counts = await reporting.counts_of(connection, import_id)
    await move(connection, import_id, ImportState.DISCARDED, counts=counts)
    await forget(connection, import_id)
    await connection.execute(delete(_study).where(_study.c.import_id == import_id))
    who = {} if actor is None else {"actor": actor}
    await audit(connection, Action.IMPORT_DISCARDED, **who, imported=import_id)
    return found


async def forget(connection: Connection, import_id: int) -> None:
    """Remove the rows of an import's files: their names may name patients (law 5)."""
    for table in (_item, _file):
        await connection.execute(delete(table).where(table.c.import_id == import_id))
