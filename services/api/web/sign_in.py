"""The pages on which people sign in and out."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import SecretStr, ValidationError
from starlette.responses import Response

from services.api.accounts import service as accounts
from services.api.accounts import sessions
from services.api.accounts.schemas import AccountCreate
from services.api.accounts.signing_in import NotSignedInError
from services.api.accounts.signing_in import sign_in as check
from services.api.dependencies import RuntimeDep
from services.api.problems import ProblemError, complaints_of, rule_broken
from services.api.rights.deciding import signer_of
from services.api.web.languages import COOKIE, LANGUAGES
from services.api.web.templating import THEME, THEMES, templates
from shared.ledger.auditing import Action, audit
from shared.people import SystemRole
from shared.runtime import Runtime

_Text = Annotated[str, Form(max_length=256)]


async def show_sign_in(request: Request, next: str = "/") -> Response:
    """The form."""
    if request.state.person is not None:
        return RedirectResponse(local(next), status_code=303)
    return sign_in_form(request, next)


async def sign_in(
    request: Request,
    runtime: RuntimeDep,
    username: _Text = "",
    password: _Text = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Sign in, and go on to the page that was asked for."""
    address = request.client.host if request.client else ""
    try:
        secret = await check(runtime, username, password, address)
    except NotSignedInError as error:
        return sign_in_form(request, next, username, str(error), error.status)
    signer = await signer_of(request)
    answer = RedirectResponse(local(next), status_code=303)
    sessions.give(answer, signer.sign(secret), secure=is_secure(request, runtime))
    return answer


async def choose_look(
    request: Request,
    runtime: RuntimeDep,
    language: Annotated[str, Form(max_length=8)] = "",
    theme: Annotated[str, Form(max_length=8)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> RedirectResponse:
    """Speak another language from now on, in this browser and to this person; or be dark or light
    in this browser.
    """
    answer = RedirectResponse(local(next), status_code=303)
    person = request.state.person
    if theme:
        value = theme if theme in THEMES else ""
        answer.set_cookie(THEME, value, max_age=365 * 86400, httponly=True, samesite="lax")
    if language in LANGUAGES:
        answer.set_cookie(COOKIE, language, max_age=365 * 86400, httponly=True, samesite="lax")
        if person is not None and person.account_id is not None:
            async with runtime.ledger.session() as session:
                account = await accounts.get(session, person.account_id)
                account.language = language
                session.add(account)
    return answer


async def sign_out(request: Request, runtime: RuntimeDep) -> RedirectResponse:
    """Sign out in this browser."""
    secret = (await signer_of(request)).secret_of(request)
    person = request.state.person
    if secret is not None:
        async with runtime.ledger.transaction() as connection:
            await sessions.end(connection, secret)
            if person is not None:
                await audit(connection, Action.SIGNED_OUT, account=person.account_id)
    answer = RedirectResponse("/sign-in", status_code=303)
    sessions.take(answer)
    return answer


async def show_first_account(request: Request) -> Response:
    """Where the first administrator enters themselves."""
    return _first(request)


async def create_first_account(
    request: Request,
    runtime: RuntimeDep,
    username: _Text = "",
    name: _Text = "",
    password: _Text = "",
    again: _Text = "",
) -> Response:
    """Enter the first administrator, and have everybody sign in from now on."""
    try:
        if password != again:
            raise rule_broken("again", "The two passwords are not the same.")
        body = AccountCreate(
            username=username,
            name=name,
            password=SecretStr(password),
            system_role=SystemRole.ADMINISTRATOR,
        )
        async with runtime.ledger.session() as session:
            await accounts.create(session, body)
    except ValidationError as error:
        return _first(request, username, name, complaints_of(error).errors[0].message)
    except ProblemError as error:
        return _first(request, username, name, error.problem.errors[0].message)
    return RedirectResponse("/sign-in", status_code=303)


def _first(
    request: Request, username: str = "", name: str = "", complaint: str = ""
) -> HTMLResponse:
    context = {"username": username, "name": name, "complaint": complaint}
    status = 422 if complaint else 200
    return templates.TemplateResponse(request, "first-account.html", context, status_code=status)


def sign_in_form(
    request: Request, target: str, username: str = "", complaint: str = "", status: int = 200
) -> HTMLResponse:
    """The form, with what is wrong."""
    elsewhere = request.app.state.runtime.settings.oidc_issuer is not None
    context = {
        "next": target, "username": username, "complaint": complaint, "elsewhere": elsewhere
    }  # fmt: skip
    return templates.TemplateResponse(request, "sign-in.html", context, status_code=status)


def is_secure(request: Request, runtime: Runtime) -> bool:
    """Whether the browser speaks HTTPS, maybe to a proxy."""
    return runtime.settings.https or request.url.scheme == "https"


def local(target: str) -> str:
    """A page of ours: nobody is sent elsewhere after signing in."""
    target = unquote(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain else "/"
