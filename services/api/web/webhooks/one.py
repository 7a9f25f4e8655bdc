"""The page of one webhook: how it fares, its buttons, and what it was told."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After
from services.api.problems import ProblemError
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered, form_of
from services.api.web.projects.show import Said
from services.api.web.webhooks.room import events_of, in_its_room
from services.api.webhooks import endpoints as rest
from services.api.webhooks.schemas import WebhookChange
from shared.runtime import Runtime

_SHOWN = 50


async def show_webhook(
    request: Request,
    webhook_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    after: After = None,
    tested: int | None = None,
    done: Said = "",
) -> HTMLResponse:
    """One webhook, and what it was told."""
    return await _page(
        request, webhook_id, person, runtime, after=after, tested=tested, done=done
    )  # fmt: skip


async def save_webhook(
    request: Request, webhook_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Change what it is called, where it lies, and what it is told."""
    form = Form(entered(await request.form(), lists=("events",)))
    try:
        body = WebhookChange.model_validate(form.fields)
        await rest.change_webhook(webhook_id, body, person, runtime, form.version)
    except (ProblemError, ValidationError) as error:
        return await _page(request, webhook_id, person, runtime, form=form.refused(error))
    return RedirectResponse(f"/webhooks/{webhook_id}?done=saved", status_code=303)


async def switch_webhook(
    request: Request, webhook_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Switch it on or off; an address that would not be taken today is not switched on."""
    on = (await request.form()).get("enabled") == "true"
    try:
        await rest.change_webhook(webhook_id, WebhookChange(enabled=on), person, runtime)
    except ProblemError as error:
        form = form_of(await rest.read_webhook(webhook_id, person, runtime))
        return await _page(request, webhook_id, person, runtime, form=form.refused(error))
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


async def try_webhook(
    webhook_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> RedirectResponse:
    """Send it something now; the page says what came of it."""
    told = await rest.test_webhook(webhook_id, person, runtime)
    return RedirectResponse(f"/webhooks/{webhook_id}?tested={told.id}", status_code=303)


async def drop_webhook(
    webhook_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> RedirectResponse:
    """Remove it."""
    found = await rest.read_webhook(webhook_id, person, runtime)
    await rest.remove_webhook(webhook_id, person, runtime)
    room = f"/projects/{found.project}" if found.project else "/administration"
    return RedirectResponse(f"{room}/webhooks?done=removed", status_code=303)


async def _page(
    request: Request,
    webhook_id: int,
    person: Person,
    runtime: Runtime,
    *,
    form: Form | None = None,
    after: int | None = None,
    tested: int | None = None,
    done: str = "",
) -> HTMLResponse:
    found = await rest.read_webhook(webhook_id, person, runtime)
    told = await rest.list_webhook_deliveries(webhook_id, person, runtime, _SHOWN, after)
    context = {
        "hook": found,
        "form": form or form_of(found),
        "events": events_of(found.project),
        "told": told,
        "after": after,
        "tested": next((one for one in told.items if one.id == tested), None),
        "done": done,
    }
    status = 422 if form else 200
    return await in_its_room(request, "one.html", found.project, person, runtime, context, status)
