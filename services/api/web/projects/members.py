"""The page of a project's members."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.accounts import service as accounts
from services.api.dependencies import RuntimeDep
from services.api.members import service
from services.api.members.endpoints import Username
from services.api.members.schemas import MemberWrite
from services.api.problems import ProblemError
from services.api.projects.endpoints import Code
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered
from services.api.web.projects.room import in_room, seen_project
from services.api.web.projects.show import Said
from services.api.web.templating import templates
from shared.people import Role
from shared.runtime import Runtime

_LEAST, _PROPOSED = 2, 20
"""Characters before anybody is proposed, and how many people at most."""


async def show_members(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep, done: Said = ""
) -> HTMLResponse:
    """Who works in the project."""
    return await _page(request, runtime, person, code, Form({"role": Role.VIEWER.value}), done=done)


async def find_people(
    request: Request,
    code: Code,
    runtime: RuntimeDep,
    username: Annotated[str, Query(max_length=64)] = "",
) -> HTMLResponse:
    """Accounts whose name or user name holds what was typed so far: choices for the form."""
    found = []
    if len(username.strip()) >= _LEAST:
        wanted = accounts.Wanted(username, enabled=True)
        async with runtime.ledger.session() as session:
            found = await accounts.every(session, wanted, limit=_PROPOSED)
    return templates.TemplateResponse(request, "projects/people.html", {"people": found})


async def save_member(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Give somebody a role in the project, or another one."""
    form = Form(entered(await request.form()))
    username = str(form.value("username"))
    try:
        body = MemberWrite.model_validate({"role": form.value("role")})
        async with runtime.ledger.session() as session:
            await service.put(session, code, username, body)
    except (ProblemError, ValidationError) as error:
        found = form.refused(error)
        if isinstance(error, ProblemError) and error.problem.status == 404:
            found = Form(form.values, {"username": [error.problem.title]}, "Nobody was added.")
        elif "changing" in form.values:
            # The form of that person's row has no place for complaints: they stand above.
            found = Form({"role": Role.VIEWER.value}, found.complaints, found.title)
        return await _page(request, runtime, person, code, found, status=422)
    return RedirectResponse(f"/projects/{code}/members?done=saved", status_code=303)


async def drop_member(
    request: Request, code: Code, username: Username, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Take somebody out of the project."""
    try:
        async with runtime.ledger.session() as session:
            await service.remove(session, code, username)
    except ProblemError as error:
        form = Form({"role": Role.VIEWER.value}).refused(error)
        return await _page(request, runtime, person, code, form, status=422)
    return RedirectResponse(f"/projects/{code}/members?done=removed", status_code=303)


async def _page(
    request: Request,
    runtime: Runtime,
    person: Person,
    code: str,
    form: Form,
    *,
    done: str = "",
    status: int = 200,
) -> HTMLResponse:
    project = await seen_project(runtime, person, code)
    async with runtime.ledger.session() as session:
        members = await service.every(session, code, runtime.settings)
    context = {
        "form": form,
        "members": members,
        "roles": [one.value for one in Role],
        "done": done,
    }
    return in_room(request, "members.html", project, person, context, status)
