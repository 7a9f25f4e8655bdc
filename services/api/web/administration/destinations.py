"""The pages of the destinations: entered, changed, and tried with a button."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.destinations import endpoints as rest
from services.api.destinations.schemas import DestinationWrite, Echo
from services.api.problems import ProblemError
from services.api.web.forms import Form, entered, form_of
from services.api.web.templating import templates
from services.api.web.words import DELETIONS, PROTOCOLS, VERIFICATIONS

_OPTIONAL = ("ae_title", "host", "port", "calling_aet")


async def show_destinations(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The destinations."""
    return await _list(request, runtime, {})


async def show_new_destination(request: Request) -> HTMLResponse:
    """The form, empty."""
    start = {name: field.default for name, field in DestinationWrite.model_fields.items()}
    return _form(request, Form(start | {"name": ""}), None)


async def show_destination(
    request: Request, destination_id: PathId, runtime: RuntimeDep
) -> HTMLResponse:
    """The form of one destination."""
    found = await rest.read_destination(destination_id, runtime)
    return _form(request, form_of(found), destination_id)


async def enter_destination(request: Request, runtime: RuntimeDep) -> Response:
    """Enter a destination."""
    form = Form(entered(await request.form()))
    try:
        await rest.create_destination(_body(form), runtime)
    except (ProblemError, ValidationError) as error:
        return _form(request, form.refused(error), None)
    return RedirectResponse("/administration/destinations", status_code=303)


async def save_destination(
    request: Request, destination_id: PathId, runtime: RuntimeDep
) -> Response:
    """Change a destination."""
    form = Form(entered(await request.form()))
    try:
        await rest.change_destination(destination_id, _body(form), runtime, form.version)
    except (ProblemError, ValidationError) as error:
        return _form(request, form.refused(error), destination_id)
    return RedirectResponse("/administration/destinations", status_code=303)


async def try_destination(
    request: Request, destination_id: PathId, runtime: RuntimeDep
) -> HTMLResponse:
    """Try whether it answers; the whole list where the page's script has not come yet."""
    echo = await rest.echo_destination(destination_id, runtime)
    if "hx-request" not in request.headers:
        return await _list(request, runtime, {destination_id: echo})
    return templates.TemplateResponse(request, "administration/echo.html", {"echo": echo})


async def _list(request: Request, runtime: RuntimeDep, echoes: Mapping[int, Echo]) -> HTMLResponse:
    context = {
        "destinations": await rest.list_destinations(runtime),
        "words": PROTOCOLS,
        "echoes": echoes,
    }
    return templates.TemplateResponse(request, "administration/destinations.html", context)


def _body(form: Form) -> DestinationWrite:
    values: dict[str, Any] = {name: value or None if name in _OPTIONAL else value
                              for name, value in form.fields.items()}  # fmt: skip
    return DestinationWrite.model_validate(values | {"tls": values.get("tls") == "true"})


def _form(request: Request, form: Form, destination_id: int | None) -> HTMLResponse:
    context = {
        "form": form,
        "id": destination_id,
        "protocols": PROTOCOLS,
        "deletions": DELETIONS,
        "verifications": VERIFICATIONS,
        "fields": list(DestinationWrite.model_fields),
    }
    return templates.TemplateResponse(
        request, "administration/destination.html", context, status_code=422 if form.title else 200
    )
