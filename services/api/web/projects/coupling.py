"""The page of a project's coupling list. It shows identities, and only to who may see them."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import UploadFile
from starlette.responses import Response

from services.api.coupling_lists import service
from services.api.coupling_lists.schemas import CSV_EXAMPLE, UploadReport
from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After
from services.api.problems import ProblemError, rule_broken
from services.api.projects.endpoints import Code
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered
from services.api.web.projects.room import in_room, seen_project
from services.api.web.projects.show import Said
from shared.runtime import Runtime

_SHOWN = 100
_NO_FORM = Form()


async def show_coupling_list(
    request: Request,
    code: Code,
    person: PersonDep,
    runtime: RuntimeDep,
    after: After = None,
    done: Said = "",
    number: int = 0,
) -> HTMLResponse:
    """The rows, and the form for more of them."""
    context = {"done": done, "number": number, "after": after}
    return await _page(request, runtime, person, code, context)


async def find_in_coupling_list(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """The rows of a participant, study or patient.

    It changes nothing, and is sent as a form all the same: addresses are logged, and what is looked
    for may be a patient id.
    """
    wanted = str(entered(await request.form()).get("wanted", ""))[:64]
    return await _page(request, runtime, person, code, {"wanted": wanted})


async def leave_coupling_search(code: Code) -> RedirectResponse:
    """Back to the whole list: somebody has loaded the page of what was found again."""
    return RedirectResponse(f"/projects/{code}/coupling-list", status_code=303)


async def enter_coupling_list(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """Take a list, or say what would come of it. Sent once more it does no harm."""
    sent = await request.form()
    form, file = Form(entered(sent)), sent.get("file")
    try:
        if not isinstance(file, UploadFile) or not file.filename:
            raise rule_broken("file", "Choose a file.")
        report = await service.upload(
            runtime,
            person,
            code,
            await file.read(),
            dry_run=form.value("how") == "try",
            partial=form.value("partial") == "true",
        )
    except ProblemError as error:
        wrong = {"form": form.refused(error)}
        return await _page(request, runtime, person, code, wrong, status=422)
    refused = not report.stored and form.value("how") != "try"
    context = {"form": form, "report": report, "tried": form.value("how") == "try"}
    return await _page(request, runtime, person, code, context, status=422 if refused else 200)


async def take_listed_studies(code: Code, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Take the studies on the list that are here."""
    report = await service.apply(runtime, person, code)
    return _back(code, "applied", report.taken)


async def drop_coupling_list(code: Code, runtime: RuntimeDep) -> Response:
    """Remove all rows."""
    async with runtime.ledger.transaction() as connection:
        return _back(code, "removed", await service.delete(connection, code))


async def drop_coupling_entry(code: Code, entry_id: PathId, runtime: RuntimeDep) -> Response:
    """Remove one row."""
    async with runtime.ledger.transaction() as connection:
        return _back(code, "removed", await service.delete(connection, code, entry_id))


async def download_coupling_template(code: Code) -> Response:
    """An empty list: the columns' names."""
    headers = {"Content-Disposition": f'attachment; filename="{code}-coupling-list.csv"'}
    return Response(CSV_EXAMPLE.splitlines()[0] + "\r\n", media_type="text/csv", headers=headers)


def _back(code: str, done: str, number: int) -> RedirectResponse:
    address = f"/projects/{code}/coupling-list?done={done}&number={number}"
    return RedirectResponse(address, status_code=303)


async def _page(
    request: Request,
    runtime: Runtime,
    person: Person,
    code: str,
    context: dict[str, Any],
    status: int = 200,
) -> HTMLResponse:
    project = await seen_project(runtime, person, code)
    wanted = context.get("wanted", "")
    page = await service.show_page(
        runtime, person, code, limit=_SHOWN, after=context.get("after"), wanted=wanted
    )
    report: UploadReport | None = context.get("report")
    shared = {
        "form": _NO_FORM,
        "page": page,
        "after": None,
        "wanted": wanted,
        "report": report,
        "example": CSV_EXAMPLE.strip(),
    }
    return in_room(request, "coupling-list.html", project, person, shared | context, status)
