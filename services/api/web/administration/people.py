"""The pages of the people who sign in."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from services.api.accounts import endpoints as rest
from services.api.accounts import service as accounts
from services.api.accounts.schemas import AccountChange, AccountCreate, AccountRead
from services.api.accounts.service import Wanted
from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.rights.knowing import groups_count
from services.api.web.forms import Form, entered, form_of
from services.api.web.templating import templates
from services.api.web.words import RIGHTS, SOURCES, SYSTEM_ROLES
from shared.clock import now
from shared.people import SystemRole
from shared.runtime import Runtime

_SHOWN = 50


class PeopleWish(BaseModel):
    """Who is looked for, as the form of the list sends it."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    search: Annotated[str, Field(max_length=64)] = ""
    role: Annotated[str, Field(max_length=16)] = ""
    enabled: Annotated[str, Field(max_length=16)] = ""
    after: Annotated[str, Field(max_length=64)] = ""


Wish = Annotated[PeopleWish, Query()]


async def show_people(request: Request, wish: Wish, runtime: RuntimeDep) -> HTMLResponse:
    """Those who are looked for, by user name, and a form for one more."""
    return await _list(request, runtime, Form(), wish)


async def enter_person(request: Request, runtime: RuntimeDep) -> Response:
    """Enter a person."""
    values = entered(await request.form())
    form = Form(values)
    try:
        body = AccountCreate.model_validate(values | {"password": values.get("password") or None})
        await rest.create_account(body, runtime)
    except (ProblemError, ValidationError) as error:
        return await _list(request, runtime, form.refused(error), PeopleWish())
    return RedirectResponse("/administration/people", status_code=303)


async def show_person(request: Request, account_id: PathId, runtime: RuntimeDep) -> HTMLResponse:
    """One person."""
    found = await rest.read_account(account_id, runtime)
    return await _one(request, runtime, found, form_of(found))


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
        return await _one(request, runtime, found, form.refused(error))
    return RedirectResponse("/administration/people", status_code=303)


async def drop_person(account_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Remove a person."""
    await rest.delete_account(account_id, runtime)
    return RedirectResponse("/administration/people", status_code=303)


async def drop_persons_token(
    account_id: PathId, token_id: PathId, runtime: RuntimeDep
) -> RedirectResponse:
    """Take a token away from a person."""
    await rest.revoke_account_token(account_id, token_id, runtime)
    return RedirectResponse(f"/administration/people/{account_id}", status_code=303)


async def _list(request: Request, runtime: Runtime, form: Form, wish: PeopleWish) -> HTMLResponse:
    wanted = Wanted(wish.search, *_meant(wish))
    async with runtime.ledger.session() as session:
        found = await accounts.every(session, wanted, after=wish.after, limit=_SHOWN + 1)
        number = await accounts.count(session, wanted)
    shown = [AccountRead.model_validate(one) for one in found[:_SHOWN]]
    context = {
        "people": shown,
        "number": number,
        "next": shown[-1].username if len(found) > _SHOWN else "",
        "wish": wish,
        "same": urlencode(wish.model_dump(exclude={"after"})),
        "form": form,
        "roles": SYSTEM_ROLES,
        "sources": SOURCES,
    }
    return templates.TemplateResponse(
        request, "administration/people.html", context, status_code=422 if form.title else 200
    )


def _meant(wish: PeopleWish) -> tuple[SystemRole | None, bool | None]:
    """The role, and whether they may sign in; what is none is not asked."""
    role = next((one for one in SystemRole if (one.value or "none") == wish.role), None)
    return role, {"yes": True, "no": False}.get(wish.enabled)


async def _one(request: Request, runtime: Runtime, found: AccountRead, form: Form) -> HTMLResponse:
    context = {
        "one": found,
        "form": form,
        "roles": SYSTEM_ROLES,
        "sources": SOURCES,
        "rights": RIGHTS,
        "tokens": await rest.list_account_tokens(found.id, runtime),
        "now": now(),
        "groups_count": groups_count(found.signed_in_at, runtime.settings),
    }
    return templates.TemplateResponse(
        request, "administration/one-person.html", context, status_code=422 if form.title else 200
    )
