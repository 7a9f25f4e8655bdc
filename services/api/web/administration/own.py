"""The page of one's own account: the password, and tokens for other systems."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.accounts import endpoints as accounts
from services.api.accounts.schemas import OwnPassword
from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError, rule_broken
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.tokens import endpoints as tokens
from services.api.tokens.schemas import TokenCreate
from services.api.web.forms import Form, entered
from services.api.web.studies import projects_of
from services.api.web.templating import templates
from services.api.web.words import RIGHTS
from shared.people import Right
from shared.runtime import Runtime


async def show_own(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """One's own account."""
    return await _page(request, person, runtime)


async def change_password(request: Request, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Give oneself a new password."""
    values = entered(await request.form())
    try:
        if values.get("new") != values.get("again"):
            raise rule_broken("again", "The two passwords are not the same.")
        body = OwnPassword.model_validate({"old": values.get("old"), "new": values.get("new")})
        await accounts.change_own_password(body, person, runtime)
    except (ProblemError, ValidationError) as error:
        return await _page(request, person, runtime, secret=Form().refused(error))
    return RedirectResponse("/sign-in", status_code=303)


async def make_token(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """Make a token; it is shown on the page that answers, and never again."""
    values = entered(await request.form(), lists=("rights",))
    form = Form(values)
    try:
        body = TokenCreate.model_validate(values | {"project": values.get("project") or None})
        made = await tokens.create_token(body, person, runtime)
    except (ProblemError, ValidationError) as error:
        return await _page(request, person, runtime, form=form.refused(error))
    return await _page(request, person, runtime, made=made.token)


async def drop_token(token_id: PathId, person: PersonDep, runtime: RuntimeDep) -> RedirectResponse:
    """Take a token away."""
    await tokens.revoke_token(token_id, person, runtime)
    return RedirectResponse("/account", status_code=303)


async def _page(
    request: Request,
    person: Person,
    runtime: Runtime,
    *,
    form: Form | None = None,
    secret: Form | None = None,
    made: str = "",
) -> HTMLResponse:
    context: dict[str, Any] = {
        "own": await accounts.read_own_account(person, runtime),
        "tokens": await tokens.list_tokens(person, runtime),
        "form": form or Form({"days": "90", "rights": [Right.VIEW.value]}),
        "secret": secret or Form(),
        "made": made,
        "rights": {one: words for one, words in RIGHTS.items() if person.may_somewhere(one)},
        "projects": await projects_of(person, runtime, Right.VIEW),
    }
    refused = bool((form and form.title) or (secret and secret.title))
    return templates.TemplateResponse(
        request, "administration/own.html", context, status_code=422 if refused else 200
    )
