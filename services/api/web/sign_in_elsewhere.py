"""Signing in at the hospital's identity provider: out, and back again."""

from fastapi import Request
from fastapi.responses import RedirectResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.responses import Response

from services.api.accounts import sessions
from services.api.accounts.provider import Journey, Provider, ProviderError
from services.api.accounts.signing_in import NotSignedInError, sign_in_as
from services.api.dependencies import RuntimeDep
from services.api.problems import not_found
from services.api.rights.deciding import signer_of
from services.api.web.sign_in import is_secure, local, sign_in_form
from shared import telemetry
from shared.runtime import Runtime

log = telemetry.logger("accounts")

_COOKIE = "sluse_journey"
_LONGEST = 600  # seconds at the provider
_AGAIN = "Signing in did not work, or took too long. Try again."
_AWAY = "The hospital's sign-in does not answer as it should. Try again in a while."


async def leave_to_sign_in(request: Request, runtime: RuntimeDep, next: str = "/") -> Response:
    """Go to the provider."""
    try:
        url, journey = await _provider(request, runtime).begin(_back(request, runtime), next)
    except ProviderError as error:
        log.warning("the identity provider does not answer", why=str(error))
        return sign_in_form(request, next, complaint=_AWAY, status=503)
    answer = RedirectResponse(url, status_code=303)
    answer.set_cookie(
        _COOKIE, (await _signer(runtime)).dumps(journey), max_age=_LONGEST, httponly=True,
        secure=is_secure(request, runtime), samesite="lax", path="/sign-in",
    )  # fmt: skip
    return answer


async def come_back_signed_in(
    request: Request, runtime: RuntimeDep, code: str = "", state: str = ""
) -> Response:
    """Come back from the provider."""
    try:
        kept = (await _signer(runtime)).loads(request.cookies.get(_COOKIE, ""), max_age=_LONGEST)
        journey = Journey(*kept)
    except (BadSignature, TypeError):
        journey = None
    if journey is None or not code or state != journey.state:
        return sign_in_form(request, "/", complaint=_AGAIN, status=400)
    try:
        username, found = await _provider(request, runtime).end(
            _back(request, runtime), code, journey
        )
        secret = await sign_in_as(runtime, username, found)
    except ProviderError as error:
        log.warning("the identity provider vouches for nobody", why=str(error))
        return sign_in_form(request, journey.target, complaint=_AWAY, status=503)
    except NotSignedInError as error:
        return sign_in_form(request, journey.target, complaint=str(error), status=error.status)
    answer = RedirectResponse(local(journey.target), status_code=303)
    cookie = (await signer_of(request)).sign(secret)
    sessions.give(answer, cookie, secure=is_secure(request, runtime))
    answer.delete_cookie(_COOKIE, path="/sign-in")
    return answer


def _provider(request: Request, runtime: Runtime) -> Provider:
    if runtime.settings.oidc_issuer is None:
        raise not_found("page")
    state = request.app.state
    if state.provider is None:
        state.provider = Provider(runtime.settings)
    return state.provider  # type: ignore[no-any-return]


def _back(request: Request, runtime: Runtime) -> str:
    scheme = "https" if is_secure(request, runtime) else "http"
    return f"{scheme}://{request.headers['host']}/sign-in/done"


async def _signer(runtime: Runtime) -> URLSafeTimedSerializer:
    master_key = await runtime.load_master_key()
    return URLSafeTimedSerializer(master_key.index("purpose", "journeys to sign in"))
