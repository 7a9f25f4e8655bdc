"""The pages of the people who sign in."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.accounts import endpoints as rest
from services.api.accounts.schemas import AccountChange, AccountCreate, AccountRead
from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.web.forms import Form, entered
from services.api.web.templating import templates
from services.api.web.words import SOURCES, SYSTEM_ROLES
from shared.runtime import Runtime


async def show_people(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """Everybody who may sign in, and a form for one more."""
    return await _list(request, runtime, Form())


async def enter_person(request: Request, runtime: RuntimeDep) -> Response:
    """Enter a person."""
    values = entered(await request.form())
    form = Form(values)
    try:
        body = AccountCreate.model_validate(values | {"password": values.get("password") or None})
        await rest.create_account(body, runtime)
    except (ProblemError, ValidationError) as error:
        return await _list(request, runtime, form.refused(error))
    return RedirectResponse("/administration/people", status_code=303)


async def show_person(request: Request, account_id: PathId, runtime: RuntimeDep) -> HTMLResponse:
    """One person."""
    found = await rest.read_account(account_id, runtime)
    values = found.model_dump(mode="json") | {"version": found.version()}
    return _one(request, found, Form(values))


async def save_person(request: Request, account_id: PathId, runtime: RuntimeDep) -> Response:
    """Change a person's name, role, password, or whether they may sign in."""
    values = entered(await request.form())
    form = Form(values)
    changed: dict[str, Any] = {name: values.get(name, "") for name in ("name", "system_role")}
    changed["enabled"] = values.get("enabled") == "true"
    if values.get("password"):
        changed["password"] = values["password"]
    try:
        body = AccountChange.model_validate(changed)
        await rest.change_account(account_id, body, runtime, form.version)
    except (ProblemError, ValidationError) as error:
        found = await rest.read_account(account_id, runtime)
        return _one(request, found, form.refused(error))
    return RedirectResponse("/administration/people", status_code=303)


async def drop_person(account_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Remove a person."""
    await rest.delete_account(account_id, runtime)
    return RedirectResponse("/administration/people", status_code=303)


async def _list(request: Request, runtime: Runtime, form: Form) -> HTMLResponse:
    context = {
        "people": await rest.list_accounts(runtime),
        "form": form,
        "roles": SYSTEM_ROLES,
        "sources": SOURCES,
    }
    return templates.TemplateResponse(
        request, "administration/people.html", context, status_code=422 if form.title else 200
    )


def _one(request: Request, found: AccountRead, form: Form) -> HTMLResponse:
    context = {"one": found, "form": form, "roles": SYSTEM_ROLES}
    return templates.TemplateResponse(
        request, "administration/one-person.html", context, status_code=422 if form.title else 200
    )
