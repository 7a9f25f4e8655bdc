"""The page of all projects that one works in. Shows no identities."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import RuntimeDep
from services.api.participants import service as participants
from services.api.projects import service as projects
from services.api.rights.deciding import PersonDep
from services.api.web.projects.room import approval
from services.api.web.templating import templates
from shared.ledger.counts import Counts, counts_by_project
from shared.people import Right


async def show_projects(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """The projects, each with how far it is."""
    async with runtime.ledger.session() as session:
        found = [
            projects.as_seen(person, row)
            for row in await projects.every(session)
            if person.may(Right.VIEW, row.id)
        ]
    async with runtime.ledger.reading() as connection:
        counts = await counts_by_project(connection)
        numbers = await participants.numbers(connection)
    context = {
        "projects": found,
        "counts": {one.code: counts.get(one.code, Counts()) for one in found},
        "participants": {one.id: numbers.get(one.id, 0) for one in found},
        "approvals": {one.id: approval(one) for one in found},
    }
    return templates.TemplateResponse(request, "projects/list.html", context)
