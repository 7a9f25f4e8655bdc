"""The form of a rule: entered, changed, tried before it is saved. It shows no identities."""

from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.projects import service as projects
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.routing_rules import endpoints as rest
from services.api.routing_rules import service as rules
from services.api.routing_rules.schemas import RoutingRuleRead
from services.api.web.rules.entering import (
    RuleForm,
    empty_form,
    form_of,
    read_form,
)
from services.api.web.rules.texts import NOT_MEMBER
from services.api.web.rules.trial import Trial, try_entered
from services.api.web.templating import templates
from shared.ledger.tables import Project
from shared.people import Right
from shared.runtime import Runtime

_BEFORE = 10


class Shown(NamedTuple):
    """A form and what is shown with it."""

    form: RuleForm
    rule: RoutingRuleRead | None = None
    """The rule that is changed, as it is now; None for a new one."""
    trial: Trial | None = None
    is_stale: bool = False
    """Somebody else has changed the rule since the form was opened."""


async def show_new_rule(
    request: Request, person: PersonDep, runtime: RuntimeDep, project: str = ""
) -> HTMLResponse:
    """The form of a new rule."""
    return await _page(request, runtime, person, Shown(empty_form(project[:16])))


async def show_rule_form(
    request: Request, rule_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """The form of a rule that is there."""
    rule = await rest.read_routing_rule(rule_id, runtime)
    return await _page(request, runtime, person, Shown(form_of(rule), rule))


async def enter_rule(request: Request, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Enter a rule, or do with its form what another button says."""
    form = read_form(await request.form())
    if form.value("do") != "save":
        return await _do(request, runtime, person, Shown(form))
    try:
        made = await rest.create_routing_rule(form.body(), runtime)
    except (ProblemError, ValidationError) as error:
        return await _refused(request, runtime, person, Shown(form), error)
    return RedirectResponse(f"/rules/{made.id}?done=entered", status_code=303)


async def save_rule(
    request: Request, rule_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Change a rule, unless somebody else has meanwhile, or do what another button says."""
    form = read_form(await request.form())
    rule = await rest.read_routing_rule(rule_id, runtime)
    if form.value("do") != "save":
        return await _do(request, runtime, person, Shown(form, rule))
    try:
        # A form without a version has seen none.
        await rest.change_routing_rule(rule_id, form.body(), runtime, form.version or "none")
    except (ProblemError, ValidationError) as error:
        return await _refused(request, runtime, person, Shown(form, rule), error)
    return RedirectResponse(f"/rules/{rule_id}?done=saved", status_code=303)


async def _do(request: Request, runtime: Runtime, person: Person, shown: Shown) -> HTMLResponse:
    """Add or remove a row, try the rule, or show the form as it stands now."""
    form, rule, *_ = shown
    button = form.value("do")
    if button != "try":
        form.press(button)
        return await _page(request, runtime, person, shown)
    try:
        trial = await try_entered(runtime, person, form.body(), rule.id if rule else None)
    except (ProblemError, ValidationError) as error:
        return await _refused(request, runtime, person, shown, error)
    return await _page(request, runtime, person, shown._replace(trial=trial))


async def _refused(
    request: Request,
    runtime: Runtime,
    person: Person,
    shown: Shown,
    error: ProblemError | ValidationError,
) -> HTMLResponse:
    status = error.problem.status if isinstance(error, ProblemError) else 422
    if status == 404:
        raise error
    if status == 412 and shown.rule is not None:
        now = await rest.read_routing_rule(shown.rule.id, runtime)
        shown = shown._replace(rule=now, is_stale=True)
        # Who saves once more has seen what stands there now.
        shown.form.values = {**shown.form.values, "version": now.version()}
        return await _page(request, runtime, person, shown, 409)
    if status == 403:
        error = ProblemError(422, NOT_MEMBER)
        shown.form.complaints["project"] = [NOT_MEMBER]
    shown.form.complain(error)
    return await _page(request, runtime, person, shown, 422)


async def _page(
    request: Request, runtime: Runtime, person: Person, shown: Shown, status: int = 200
) -> HTMLResponse:
    form, rule, trial, is_stale = shown
    async with runtime.ledger.session() as session:
        known = await projects.every(session)
        project = next((one for one in known if one.code == form.value("project")), None)
        others = await rules.every(session, [project.id] if project and project.id else [])
    if rule is not None and "version" not in form.values:
        form.values = {**form.values, "version": rule.version()}
    context: dict[str, Any] = {
        "form": form,
        "rule": rule,
        "trial": trial,
        "is_stale": is_stale,
        "projects": [(one.code, _name(one)) for one in known],
        "project": project,
        "before": _before(others, form, rule),
        "may_try": person.may_somewhere(Right.IDENTIFY),
        "shown": form.keep_to(project),
    }
    return templates.TemplateResponse(request, "rules/form.html", context, status_code=status)


def _name(project: Project) -> str:
    return f"{project.code} · {project.title}" if project.title else project.code


def _before(
    others: list[RoutingRuleRead], form: RuleForm, rule: RoutingRuleRead | None
) -> list[RoutingRuleRead]:
    """The first rules into the project that are asked before this one, as it stands in the form."""
    text = str(form.value("priority"))
    # One that is not entered yet comes after those of the same number.
    turn = (int(text), rule.id if rule else 2**63) if text.isdecimal() else (-1, 0)
    return [
        one
        for one in others
        if one.enabled and (one.priority, one.id) < turn and (rule is None or one.id != rule.id)
    ][:_BEFORE]
