"""Lets a request through, or not: every route depends on `decide`."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.api.accounts.sessions import Signer
from services.api.problems import ProblemError, not_found, rule_broken
from services.api.rights.knowing import who
from services.api.rights.needs import NEEDS, Need, Where
from services.api.rights.person import Person, refused
from services.api.rights.places import is_written_well, parameter_of, project_of
from shared.ledger.auditing import ACTOR
from shared.runtime import Runtime

READING = ("GET", "HEAD")
FORM_FIELD, FORM_HEADER = "form_token", "x-form-token"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class SignInError(Exception):
    """A page that is only for those who are signed in.

    Parameters
    ----------
    target
        Where to go on afterwards.
    """

    def __init__(self, target: str) -> None:
        super().__init__("not signed in")
        self.target = target


async def decide(request: Request) -> None:
    """Find out who sends a request, and refuse it when they may not.

    Raises
    ------
    ProblemError
        401, 403, or 404 for what the person may not know of.
    SignInError
        A page, and nobody is signed in.
    """
    if getattr(request.state, "may", False):
        return  # asked before: a key is somebody's (`services.api.routes`)
    need = NEEDS[request.scope["route"].name]
    runtime: Runtime = request.app.state.runtime
    person = None
    if need.where is not Where.PUBLIC or need.knows_who:
        signer = await signer_of(request)
        person = await who(request, runtime, signer)
    request.state.person = person
    if person is not None:
        ACTOR.set(person.actor)
        if person.by_cookie and request.method not in READING:
            await _require_own_form(request, await signer_of(request))
    if need.where is not Where.PUBLIC:
        if person is None:
            raise _unknown(request)
        await _require(request, runtime, person, need)
    request.state.may = True


async def signer_of(request: Request) -> Signer:
    """What signs cookies and forms."""
    state = request.app.state
    if state.signer is None:
        state.signer = Signer(await state.runtime.load_master_key())
    return state.signer  # type: ignore[no-any-return]


def person_of_request(request: Request) -> Person:
    """Who sends the request."""
    person: Person | None = request.state.person
    if person is None:
        raise _unknown(request)
    return person


PersonDep = Annotated[Person, Depends(person_of_request)]
"""Who sends the request."""


async def _require(request: Request, runtime: Runtime, person: Person, need: Need) -> None:
    if need.right is None:
        return
    if need.where in (Where.SYSTEM, Where.SOMEWHERE):
        if not person.may_somewhere(need.right):
            raise refused(need.right)
        return
    if need.where is Where.SEEN_STUDY:
        return  # the endpoint asks, who knows the study
    if not is_written_well(need.where, request.path_params):
        raise rule_broken(parameter_of(need.where), "There can't be anything of this name.")
    async with runtime.ledger.reading() as connection:
        project_id = await project_of(connection, need.where, request.path_params)
    what = need.where.value.split(" ")[-1]
    if project_id is None:
        if not person.may_somewhere(need.right):
            raise refused(need.right)
        raise not_found(what)
    person.require(need.right, project_id, what)


def _unknown(request: Request) -> Exception:
    if request.method in READING and "text/html" in request.headers.get("accept", ""):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return SignInError(quote(target))
    error = ProblemError(401, "Sign in, or send a token that is valid.")
    error.headers = {"WWW-Authenticate": 'Bearer realm="Sluse"'}
    return error


async def _require_own_form(request: Request, signer: Signer) -> None:
    """The browser sends the cookie whatever page sends the request: it must be one of ours."""
    sent = request.headers.get(FORM_HEADER, "")
    if not sent and request.headers.get("content-type", "").startswith(_FORMS):
        try:
            sent = str((await request.form()).get(FORM_FIELD, ""))
        except HTTPException as error:
            if error.status_code == 413:
                raise
        except Exception:  # noqa: S110
            pass  # what can't be read has no token
    secret = signer.secret_of(request) or ""
    if not signer.is_form_token(sent, secret):
        raise ProblemError(403, "This page is too old. Load it again, and repeat what you did.")
