"""What the pages of webhooks share: whose room they are in, and their words."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from services.api.rights.person import Person
from services.api.web.projects.room import in_room, seen_project
from services.api.web.templating import templates
from services.api.web.words import WEBHOOK_EVENTS, WEBHOOK_STATES
from shared.ledger.states import WebhookEvent
from shared.runtime import Runtime


def events_of(code: str | None) -> Mapping[WebhookEvent, str]:
    """What a webhook of a project, or of the whole system, may be told, in words."""
    if code is None:
        return WEBHOOK_EVENTS
    # Studies settle before they belong to a project.
    return {one: text for one, text in WEBHOOK_EVENTS.items()
            if one is not WebhookEvent.STUDY_SETTLED}  # fmt: skip


async def in_its_room(
    request: Request,
    name: str,
    code: str | None,
    person: Person,
    runtime: Runtime,
    context: dict[str, Any],
    status: int = 200,
) -> HTMLResponse:
    """A page among those of a project, or among those of administration."""
    shared = {
        "of_all": WEBHOOK_EVENTS,
        "states": WEBHOOK_STATES,
        "parent": "projects/room.html" if code else "administration/room.html",
        # The room's list stays marked in the ways to its pages, wherever one of them lies.
        "place": f"/projects/{code}/webhooks" if code else "/administration/webhooks",
    }
    if code is None:
        return templates.TemplateResponse(request, f"webhooks/{name}", shared | context, status)
    project = await seen_project(runtime, person, code)
    return in_room(request, name, project, person, shared | context, status, "webhooks")
