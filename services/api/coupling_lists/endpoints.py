"""`/projects/{code}/coupling-list`: which original identity is which participant."""

from email.message import Message
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.api.coupling_lists import service
from services.api.coupling_lists.reading import MAX_FILE
from services.api.coupling_lists.schemas import (
    CSV_EXAMPLE,
    EntryRead,
    ListRefused,
    Removed,
    StudiesReport,
    UploadReport,
)
from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import MEDIA_TYPE, FieldError, responses, rule_broken
from services.api.rights.deciding import PersonDep
from services.api.routes import resource

router = resource("/projects/{code}/coupling-list", "coupling list")

Code = Annotated[str, Path(max_length=16, description="The project's code.")]

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FILE = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": {"file": _FILE}}},
            "text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
            _XLSX: {"schema": _FILE},
        },
    }
}


@router.post("", responses=responses(404, 422), response_model=UploadReport, openapi_extra=_BODY)
async def upload_coupling_list(
    code: Code,
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    dry_run: Annotated[
        bool, Query(description="Only say what would come of it; nothing is changed.")
    ] = False,
    partial: Annotated[
        bool, Query(description="Take the rows that are right even when others are wrong.")
    ] = False,
) -> UploadReport | Response:
    """Upload a list, CSV or Excel (.xlsx), as the body or as the file of a form.

    Rows add to the list, or replace what it said of the same study or patient. When any row is
    wrong nothing is taken, unless `partial` is set. Studies on the list that are here already are
    taken at once.
    """
    report = await service.upload(
        runtime, person, code, await _file(request), dry_run=dry_run, partial=partial
    )
    if report.stored or dry_run:
        return report
    errors = [
        FieldError(field=f"row {one.row} {one.column}".strip(), message=one.message)
        for one in report.problems
    ]
    title = f"Nothing was taken: {report.wrong} of {report.rows} rows are wrong."
    refused = ListRefused(title=title, status=422, errors=errors, report=report)
    return JSONResponse(refused.model_dump(), 422, media_type=MEDIA_TYPE)


@router.get("", responses=responses(404, 422))
async def read_coupling_list(
    code: Code, person: PersonDep, runtime: RuntimeDep, limit: Limit = 100, after: After = None
) -> Page[EntryRead]:
    """List the rows, with the identities in clear."""
    return await service.show_page(runtime, person, code, limit=limit, after=after)


@router.post("/apply", responses=responses(404, 422))
async def apply_coupling_list(code: Code, person: PersonDep, runtime: RuntimeDep) -> StudiesReport:
    """Take the studies on the list that are here: after the project became active, for instance."""
    return await service.apply(runtime, person, code)


@router.delete("", responses=responses(404, 422))
async def remove_coupling_list(code: Code, runtime: RuntimeDep) -> Removed:
    """Remove all rows. What they brought into the project stays there."""
    async with runtime.ledger.transaction() as connection:
        return Removed(removed=await service.delete(connection, code))


@router.delete("/{entry_id}", responses=responses(404, 422))
async def remove_entry(code: Code, entry_id: PathId, runtime: RuntimeDep) -> Removed:
    """Remove one row. What it brought into the project stays there."""
    async with runtime.ledger.transaction() as connection:
        return Removed(removed=await service.delete(connection, code, entry_id))


async def _file(request: Request) -> bytes:
    """The uploaded file: the body, or the first file of a form."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FILE:
            most = MAX_FILE >> 20
            raise HTTPException(413, f"The file is too large: at most {most} MB.")
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    if header.get_content_type() != "multipart/form-data":
        return bytes(body)
    return _of_form(bytes(body), header.get_boundary(""))


def _of_form(body: bytes, boundary: str) -> bytes:
    """The first file of a `multipart/form-data` body (RFC 7578)."""
    delimiter = b"\r\n--" + boundary.encode()
    for part in (b"\r\n" + body).split(delimiter)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head.lower() and content:
            return content
    raise rule_broken("file", "Choose a file.")
