"""`/imports/{id}/files`: resumable uploads, as the tus protocol 1.0 has them (HEAD and PATCH)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from starlette.datastructures import State

from services.api.dependencies import PathId, RuntimeDep
from services.api.imports import chunks, files
from services.api.imports.chunks import OFFSET
from services.api.imports.schemas import FileRead, FilesCreate, FilesRead
from services.api.paging import After, Limit, Page
from services.api.problems import ProblemError, responses
from services.api.routes import resource

router = resource("/imports/{import_id}/files", "imports")

_TUS = {"Tus-Resumable": "1.0.0"}
_PIECE = "application/offset+octet-stream"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {_PIECE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("", responses=responses(404, 409, 413, 422, 507))
async def name_files(import_id: PathId, body: FilesCreate, runtime: RuntimeDep) -> FilesRead:
    """Name files that are going to be sent, up to 1000 at once; each answers with its number and
    where it goes on.

    The same path and size is the same file: choose the folder again to continue. New files may be
    added to an import that is in review; it is finished anew then.
    """
    named = await files.name(runtime, import_id, body.files)
    return FilesRead(files=named, max_chunk=runtime.settings.import_max_chunk)


@router.get("", responses=responses(404, 422))
async def list_files(
    import_id: PathId,
    runtime: RuntimeDep,
    incomplete: Annotated[bool, Query(description="Only those that are not all here.")] = False,
    limit: Limit = 100,
    after: After = None,
) -> Page[FileRead]:
    """List the files that were named, and how far each is."""
    async with runtime.ledger.reading() as connection:
        return await files.list_page(
            connection, import_id, incomplete=incomplete, limit=limit, after=after
        )


@router.head("/{file_id}", status_code=204, responses=responses(404, 422))
async def find_offset(import_id: PathId, file_id: PathId, runtime: RuntimeDep) -> Response:
    """Ask where a file goes on: `Upload-Offset`, the bytes that are durably here."""
    async with runtime.ledger.reading() as connection:
        place = await chunks.place_of(connection, import_id, file_id)
    found = {OFFSET: str(place.received), "Upload-Length": str(place.size)}
    return Response(status_code=204, headers=_TUS | found)


@router.patch(
    "/{file_id}",
    status_code=204,
    responses=responses(400, 404, 409, 413, 415, 422, 423, 507),
    openapi_extra=_BODY,
)
async def send_piece(
    import_id: PathId,
    file_id: PathId,
    request: Request,
    runtime: RuntimeDep,
    upload_offset: Annotated[str | None, Header(description="Where the piece starts.")] = None,
) -> Response:
    """Send the next piece of a file, its bytes as the body.

    It is on the disk when this answers. 409 says in `Upload-Offset` where the file really goes on;
    423: another browser is sending it; 507: the disk is full.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _PIECE:
        raise ProblemError(415, f"Send the bytes as {_PIECE}.")
    offset = upload_offset or ""
    if not (offset.isascii() and offset.isdecimal() and len(offset) < 17):
        raise ProblemError(400, "Say where the piece starts: the header Upload-Offset, a number.")
    with _turn(request.app.state, runtime.settings.import_max_chunks):
        received = await chunks.take(runtime, request, import_id, file_id, int(offset))
    return Response(status_code=204, headers=_TUS | {OFFSET: str(received)})


@router.delete("/{file_id}", status_code=204, responses=responses(404, 409, 422))
async def leave_file_out(import_id: PathId, file_id: PathId, runtime: RuntimeDep) -> Response:
    """Leave a file out that was not read yet: one that a scratched CD does not give, say."""
    await files.leave_out(runtime, import_id, file_id)
    return Response(status_code=204)


@contextmanager
def _turn(state: State, most: int) -> Iterator[None]:
    """One of as many pieces as are taken at once; a 503 problem when there are too many."""
    under_way: int = getattr(state, "uploading", 0)
    if under_way >= most:
        raise ProblemError(503, "Too many are uploading at this moment. Try again later.")
    state.uploading = under_way + 1
    try:
        yield
    finally:
        state.uploading -= 1
