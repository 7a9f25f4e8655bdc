"""The lists of webhooks, with the form for one more: of the whole system, and of a project."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from services.api.dependencies import RuntimeDep
from services.api.problems import ProblemError
from services.api.projects.endpoints import Code
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered
from services.api.web.projects.show import Said
from services.api.web.webhooks.room import events_of, in_its_room
from services.api.webhooks import endpoints as rest
from services.api.webhooks.schemas import WebhookCreate
from shared.runtime import Runtime


async def show_webhooks(
    request: Request, person: PersonDep, runtime: RuntimeDep, done: Said = ""
) -> HTMLResponse:
    """All webhooks, and a form for one of the whole system."""
    return await _list(request, person, runtime, None, done=done)


async def enter_webhook(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """Enter one of the whole system; its secret is on the page that answers, and never again."""
    return await _enter(request, person, runtime, None)


async def show_project_webhooks(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep, done: Said = ""
) -> HTMLResponse:
    """The webhooks of a project, and a form for one more."""
    return await _list(request, person, runtime, code, done=done)


async def enter_project_webhook(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """Enter one of a project; its secret is on the page that answers, and never again."""
    return await _enter(request, person, runtime, code)


async def _enter(
    request: Request, person: Person, runtime: Runtime, code: str | None
) -> HTMLResponse:
    values = entered(await request.form(), lists=("events",))
    form = Form(values)
    try:
        body = WebhookCreate.model_validate(values | {"project": code})
        made = await rest.create_webhook(body, person, runtime)
    except (ProblemError, ValidationError) as error:
        return await _list(request, person, runtime, code, form=form.refused(error))
    return await _list(request, person, runtime, code, made=made)


async def _list(
    request: Request,
    person: Person,
    runtime: Runtime,
    code: str | None,
    *,
    form: Form | None = None,
    **said: Any,
) -> HTMLResponse:
    found = await rest.list_webhooks(person, runtime)
    events = events_of(code)
    context = said | {
        "webhooks": [one for one in found if code in (None, one.project)],
        "events": events,
        "form": form or Form({"events": [one.value for one in events]}),
        "path": f"/projects/{code}/webhooks" if code else "/administration/webhooks",
    }
    status = 422 if form else 200
    return await in_its_room(request, "list.html", code, person, runtime, context, status)
