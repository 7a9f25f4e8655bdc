"""The pages on which people bring in images from elsewhere: CDs, ZIPs, folders."""

import asyncio
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.imports import accepting, files, reviewing, service
from services.api.imports.review_schemas import Review
from services.api.imports.schemas import ImportAccept, ImportCreate
from services.api.paging import After
from services.api.problems import ProblemError
from services.api.projects import service as projects
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import require_project
from services.api.web.forms import Form, entered, only
from services.api.web.studies import projects_of
from services.api.web.templating import templates
from services.api.web.words import IMPORTS, ITEMS
from shared.importing import Kind
from shared.ledger.auditing import Action, audit
from shared.ledger.states import ImportState
from shared.people import Right
from shared.runtime import Runtime

_SHOWN = 50
_SHOWN_ITEMS = 200
_ODD = (Kind.NAMED, Kind.UNREADABLE, Kind.REFUSED, Kind.IGNORED, Kind.DUPLICATE)


async def show_imports(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """The imports, and a form for a new one."""
    return await _list(request, person, runtime, Form())


async def enter_import(request: Request, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Begin an import."""
    values = entered(await request.form())
    form = Form(values)
    try:
        wanted = {name: values.get(name, "") for name in ("project", "note")}
        body = ImportCreate.model_validate(wanted)
        async with runtime.ledger.reading() as connection:
            await require_project(person, connection, Right.ASSIGN, body.project)
        import_id = await service.create(runtime, body)
    except (ProblemError, ValidationError) as error:
        return await _list(request, person, runtime, form.refused(error))
    return _back(import_id)


async def show_import(
    request: Request, import_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """One import, by how far it is."""
    return await _page(request, import_id, person, runtime, Form())


async def show_items(
    request: Request,
    import_id: PathId,
    runtime: RuntimeDep,
    kind: Kind = Kind.UNREADABLE,
    after: After = None,
) -> HTMLResponse:
    """What was found, thing by thing."""
    async with runtime.ledger.reading() as connection:
        page = await files.items_page(
            connection, import_id, kind=kind, limit=_SHOWN_ITEMS, after=after
        )
    context = {"id": import_id, "page": page, "kind": kind, "kinds": _ODD, "items": ITEMS}
    return templates.TemplateResponse(request, "import/items.html", context)


async def press_finish(import_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Say that all files are here."""
    async with runtime.ledger.transaction() as connection:
        await service.finish(connection, import_id)
    return _back(import_id)


async def press_discard(import_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Discard it with its files."""
    async with runtime.ledger.transaction() as connection:
        discarded = await service.discard(connection, import_id)
    if discarded is not None:
        await asyncio.to_thread(runtime.spool.staging(discarded.association_id).remove)
    return RedirectResponse("/import", status_code=303)


async def press_accept_import(
    request: Request, import_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Take the chosen studies, or say what stands against it."""
    values = entered(await request.form(), lists=("studies",))
    form = Form(values)
    address = request.client.host if request.client else ""
    master_key = await runtime.load_master_key()
    try:
        body = ImportAccept.model_validate({
            "studies": values["studies"],
            "participant": values.get("participant") or None,
            "event": values.get("event", ""),
            "site": values.get("site", ""),
            "confirmed": values.get("confirmed") == "true",
        })  # fmt: skip
        async with runtime.ledger.transaction() as connection:
            await accepting.accept(connection, import_id, body, master_key, address)
    except (ProblemError, ValidationError) as error:
        return await _page(request, import_id, person, runtime, form.refused(error))
    return _back(import_id)


async def _list(request: Request, person: Person, runtime: Runtime, form: Form) -> HTMLResponse:
    async with runtime.ledger.reading() as connection:
        page = await service.list_page(
            connection,
            within_projects=person.projects_with(Right.ASSIGN),
            limit=_SHOWN,
            after=None,
        )
    context = {
        "page": page,
        "form": form,
        "states": IMPORTS,
        "projects": await projects_of(person, runtime, Right.ASSIGN),
    }
    return templates.TemplateResponse(
        request, "import/list.html", context, status_code=422 if form.title else 200
    )


async def _page(
    request: Request, import_id: int, person: Person, runtime: Runtime, form: Form
) -> HTMLResponse:
    async with runtime.ledger.reading() as connection:
        found = await service.get(connection, import_id)
    context: dict[str, Any] = {"one": found, "form": form, "states": IMPORTS}
    if found.state is ImportState.REVIEW:
        context["review"] = await _review(person, runtime, import_id)
        async with runtime.ledger.session() as session:
            project = await projects.get(session, found.project)
        context["project"] = project
        if not form.values:
            uids = [one.study_instance_uid for one in context["review"].studies]
            context["form"] = Form({
                "participant": found.participant or "",
                "event": found.event or only(project.events),
                "site": found.site or only(project.sites),
                "studies": uids,
            })  # fmt: skip
    return templates.TemplateResponse(
        request, "import/import.html", context, status_code=422 if form.title else 200
    )


async def _review(person: Person, runtime: Runtime, import_id: int) -> Review:
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        found = await reviewing.review(connection, import_id, master_key)
    if person.account_id is not None:
        async with runtime.ledger.transaction() as connection:
            await audit(connection, Action.IDENTITIES_SHOWN, imported=import_id)
    return found


def _back(import_id: int) -> RedirectResponse:
    return RedirectResponse(f"/import/{import_id}", status_code=303)
