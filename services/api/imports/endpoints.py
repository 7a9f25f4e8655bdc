"""`/imports`: folders, ZIPs and CDs that people bring in through the web page."""

import asyncio
from typing import Annotated

from fastapi import Query, Request

from services.api.dependencies import PathId, RuntimeDep
from services.api.fields import ProjectCode
from services.api.imports import accepting, files, reviewing, service
from services.api.imports.review_schemas import Review
from services.api.imports.schemas import ImportAccept, ImportCreate, ImportRead, ItemRead
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.rights.studies import require_project
from services.api.routes import resource
from shared.importing import Kind
from shared.ledger.auditing import Action, audit
from shared.ledger.states import ImportState
from shared.people import Right

router = resource("/imports", "imports")


@router.get("", responses=responses(422))
async def list_imports(
    person: PersonDep,
    runtime: RuntimeDep,
    project: Annotated[ProjectCode | None, Query(description="Only this project's.")] = None,
    state: Annotated[ImportState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[ImportRead]:
    """List imports, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection,
            project=project,
            state=state,
            within_projects=person.projects_with(Right.ASSIGN),
            limit=limit,
            after=after,
        )


@router.post("", status_code=201, responses=responses(422))
async def begin_import(body: ImportCreate, person: PersonDep, runtime: RuntimeDep) -> ImportRead:
    """Begin an import: name its files next, then send them piece by piece."""
    async with runtime.ledger.reading() as connection:
        await require_project(person, connection, Right.ASSIGN, body.project)
    import_id = await service.create(runtime, body)
    return await _read(runtime, import_id)


@router.get("/{import_id}", responses=responses(404, 422))
async def read_import(import_id: PathId, runtime: RuntimeDep) -> ImportRead:
    """Read one import: how far it is, what was found, and what became of what was accepted."""
    return await _read(runtime, import_id)


@router.delete("/{import_id}", responses=responses(404, 409, 422))
async def discard_import(import_id: PathId, runtime: RuntimeDep) -> ImportRead:
    """Discard an import: its files are removed. What is accepted can't be discarded any more."""
    async with runtime.ledger.transaction() as connection:
        discarded = await service.discard(connection, import_id)
    if discarded is not None:
        staging = runtime.spool.staging(discarded.association_id)
        await asyncio.to_thread(staging.remove)
    return await _read(runtime, import_id)


@router.post("/{import_id}/finish", status_code=202, responses=responses(404, 409, 422))
async def finish_upload(import_id: PathId, runtime: RuntimeDep) -> ImportRead:
    """Say that all files are here. Sluse looks into them; the state is `review` when it has."""
    async with runtime.ledger.transaction() as connection:
        await service.finish(connection, import_id)
    return await _read(runtime, import_id)


@router.get("/{import_id}/review", responses=responses(404, 409, 422))
async def review_import(import_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Review:
    """See what was found, study by study, with the patients' identities, and what is odd about it.

    The only answer about imports that says who the patients are.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        found = await reviewing.review(connection, import_id, master_key)
    if person.account_id is not None:
        async with runtime.ledger.transaction() as connection:
            await audit(connection, Action.IDENTITIES_SHOWN, imported=import_id)
    return found


@router.get("/{import_id}/items", responses=responses(404, 422))
async def list_items(
    import_id: PathId,
    runtime: RuntimeDep,
    kind: Annotated[Kind | None, Query(description="Only these; `named`: what is missing.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[ItemRead]:
    """List what was found, thing by thing, with the files' names."""
    async with runtime.ledger.reading() as connection:
        return await files.items_page(connection, import_id, kind=kind, limit=limit, after=after)


@router.post("/{import_id}/accept", status_code=202, responses=responses(404, 409, 422))
async def accept_import(
    import_id: PathId, body: ImportAccept, runtime: RuntimeDep, request: Request
) -> ImportRead:
    """Take the chosen studies. They come into the project as soon as they are catalogued; the
    others are discarded.
    """
    master_key = await runtime.load_master_key()
    address = request.client.host if request.client else ""
    async with runtime.ledger.transaction() as connection:
        await accepting.accept(connection, import_id, body, master_key, address)
    return await _read(runtime, import_id)


async def _read(runtime: RuntimeDep, import_id: int) -> ImportRead:
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, import_id)
