"""What all pages of one project share, and how far its approval is."""

from datetime import date, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from services.api.projects import service as projects
from services.api.projects.schemas import ProjectRead
from services.api.rights.person import Person
from services.api.web.templating import templates
from shared.clock import now
from shared.people import Right
from shared.runtime import Runtime

_SOON = timedelta(days=90)
"""Before the approval's end, so that a prolonged one can be had in time."""


def approval(project: ProjectRead, today: date | None = None) -> str:
    """How it stands: `ended`, `soon` (it ends), `later` (it begins), or empty: in force."""
    today = today or now().date()
    if project.rek_end and project.rek_end < today:
        return "ended"
    if project.rek_start and today < project.rek_start:
        return "later"
    return "soon" if project.rek_end and project.rek_end - today <= _SOON else ""


async def seen_project(runtime: Runtime, person: Person, code: str) -> ProjectRead:
    """A project, as the person sees it; a 404 problem when there is none."""
    async with runtime.ledger.session() as session:
        return projects.as_seen(person, await projects.get(session, code))


def in_room(
    request: Request,
    name: str,
    project: ProjectRead,
    person: Person,
    context: dict[str, Any],
    status: int = 200,
    folder: str = "projects",
) -> HTMLResponse:
    """A page of a project, with what its templates share. `name` is a template's in `folder`."""
    shared = {
        "project": project,
        "approval": approval(project),
        "can_manage": person.may(Right.MANAGE, project.id),
        "can_identify": person.may(Right.IDENTIFY, project.id),
        "can_correct": person.may(Right.CORRECT, project.id),
    }
    return templates.TemplateResponse(request, f"{folder}/{name}", shared | context, status)
