"""The rules as they are: the list, one of them, what it would do, and its buttons.

They show no identities.
"""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError, complaints_of
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person, refused
from services.api.routing_rules import service as rules
from services.api.routing_rules.applying import apply_whole
from services.api.web.forms import entered
from services.api.web.rules.texts import said_of
from services.api.web.rules.trial import try_now
from services.api.web.templating import templates
from shared.people import Right
from shared.runtime import Runtime

Said = Annotated[str, Query(max_length=32)]


async def list_rules(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    project: Said = "",
    done: Said = "",
    rule: int = 0,
) -> HTMLResponse:
    """The routing rules, in the order in which they are asked."""
    return await _list(request, person, runtime, project, {"done": done, "changed": rule})


async def show_rule(
    request: Request,
    rule_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    taken: int | None = None,
    refused: int = 0,
    done: Said = "",
) -> HTMLResponse:
    """A rule, and what it would do with what is here, for whoever may see that."""
    async with runtime.ledger.session() as session:
        rule = await rules.get(session, rule_id)
        read = await rules.read(session, rule_id)
    may_try = person.may(Right.IDENTIFY, rule.project_id)
    if not may_try and not person.may(Right.ADMINISTER):
        person.require(Right.IDENTIFY, rule.project_id, "rule")
    context = {
        "rule": read,
        "trial": await try_now(runtime, person, rule_id) if may_try else None,
        "taken": taken,
        "refused": refused,
        "done": done,
    }
    return templates.TemplateResponse(request, "rules/rule.html", context)


async def apply_rule(rule_id: PathId, person: PersonDep, runtime: RuntimeDep) -> RedirectResponse:
    """Apply a rule to what is here, and show what that did."""
    applied = await apply_whole(runtime, rule_id, person)
    return RedirectResponse(
        f"/rules/{rule_id}?taken={applied.taken}&refused={applied.refused}", status_code=303
    )


async def switch_rule(
    request: Request, rule_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Switch a rule on or off: as the button said, whatever somebody else has done meanwhile."""
    sent = entered(await request.form())
    on = sent.get("on") == "true"
    project = str(sent.get("project", ""))[:16]
    try:
        async with runtime.ledger.session() as session:
            await rules.switch(session, rule_id, on=on)
    except (ProblemError, ValidationError) as error:
        problem = complaints_of(error)
        if problem.status == 404:
            raise
        wrong = {
            "changed": rule_id,
            "wrong": [said_of(one.field, one.message) for one in problem.errors],
        }
        return await _list(request, person, runtime, project, wrong, status=422)
    query = f"done={'on' if on else 'off'}&rule={rule_id}"
    if project.isalnum():
        query += f"&project={project}"
    return RedirectResponse(f"/rules?{query}#rule-{rule_id}", status_code=303)


async def _list(
    request: Request,
    person: Person,
    runtime: Runtime,
    project: str,
    context: dict[str, object],
    status: int = 200,
) -> HTMLResponse:
    seen = None if person.may(Right.ADMINISTER) else person.projects_with(Right.IDENTIFY)
    if seen == []:
        raise refused(Right.IDENTIFY)
    async with runtime.ledger.session() as session:
        found = await rules.every(session, seen)
    codes = sorted({one.project for one in found})
    if project in codes:
        found = [one for one in found if one.project == project]
    shared = {
        "rules": found,
        "projects": codes,
        "wanted": project if project in codes else "",
        "named": next((one.name for one in found if one.id == context["changed"]), ""),
        "done": "",
        "wrong": [],
    }
    return templates.TemplateResponse(
        request, "rules/rules.html", shared | context, status_code=status
    )
