"""The page of one project: what it is, how far it is, who is in it. Shows no identities."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.api.dependencies import RuntimeDep
from services.api.destinations import service as destinations
from services.api.paging import After
from services.api.participants import service as participants
from services.api.projects.endpoints import (
    Code,
    estimate_processing_again,
    process_project_again,
)
from services.api.rights.deciding import PersonDep
from services.api.routing_rules import service as rules
from services.api.web.projects.room import in_room, seen_project
from shared.people import Right

_SHOWN = 50

Said = Annotated[str, Query(max_length=32)]


async def show_project(
    request: Request,
    code: Code,
    person: PersonDep,
    runtime: RuntimeDep,
    starts_with: Annotated[str, Query(max_length=64)] = "",
    after: After = None,
    done: Said = "",
) -> HTMLResponse:
    """A project at a glance, and its participants by pseudonym."""
    project = await seen_project(runtime, person, code)
    async with runtime.ledger.reading() as connection:
        progress = await participants.progress(connection, code)
        page = await participants.list_page(
            connection, code, starts_with=starts_with.strip() or None, limit=_SHOWN, after=after
        )
    destination, own_rules = None, None
    async with runtime.ledger.session() as session:
        if project.destination_id is not None:
            destination = await destinations.get(session, project.destination_id)
        if person.may(Right.IDENTIFY, project.id):
            own_rules = await rules.every(session, [project.id])
        context = {
            "progress": progress,
            "page": page,
            "starts_with": starts_with,
            "after": after,
            "destination": destination,
            "rules": own_rules,
            "done": done,
        }
        return in_room(request, "show.html", project, person, context)


async def show_processing_again(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """What processing everything again would take, before somebody asks for it."""
    project = await seen_project(runtime, person, code)
    estimate = await estimate_processing_again(code, runtime)
    return in_room(request, "process-again.html", project, person, {"estimate": estimate})


async def begin_processing_again(code: Code, runtime: RuntimeDep) -> RedirectResponse:
    """Process everything of the project again."""
    await process_project_again(code, runtime)
    return RedirectResponse(f"/projects/{code}?done=again", status_code=303)
