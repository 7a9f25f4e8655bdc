"""Keeps out of the application what must not come in: foreign hosts and sites, endless bodies."""

import math
import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import Problem, answer

MAX_BODY = 1 << 20  # bytes; requests are short texts
DICOMWEB = "/dicom-web"
MAX_LIST = 10 << 20  # bytes; coupling lists
# Whoever can make a browser send a request could use what the browser may do here: a page elsewhere
# whose host name points here (DNS rebinding), or a form on it.
_CHUNK = re.compile(r"/api/v1/imports/[0-9]+/files/[0-9]+")
_READING = ("GET", "HEAD")
_OWN_SITE = ("same-origin", "none")  # another port of this machine is "same-site"
# The page has neither inline script nor foreign hosts; the API's documentation needs inline script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_DOCS = ("/docs", "/static-offline-docs")


class Guard:
    """Refuses what must not come in; adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _longest(scope["path"]):
                raise HTTPException(413, "The request is too large.")
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await answer(refusal)(scope, receive, guarded)
        else:
            await self._app(scope, counted, guarded)

    def _refusal(self, method: str, headers: Headers) -> Problem | None:
        """What stands against a request, by its head."""
        if _host_of(headers) not in self._names:
            return Problem(
                status=400, title="Sluse has another address (SLUSE_HTTP_NAMES), like localhost."
            )
        if method not in _READING and headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            return Problem(status=403, title="Changes are not taken from another site's page.")
        return None


def _host_of(headers: Headers) -> str:
    """The host name that was called, without the port."""
    host = headers.get("host", "").lower()
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _longest(path: str) -> float:
    """Most bytes of a request's body."""
    if path.startswith(DICOMWEB + "/"):
        return math.inf  # images: `services.api.dicomweb` has its own limits
    if _CHUNK.fullmatch(path):
        return math.inf  # pieces of files: so has `services.api.imports`
    return MAX_LIST if path.endswith("/coupling-list") else MAX_BODY


def _protect(headers: MutableHeaders, path: str) -> None:
    if not path.startswith(_DOCS):
        headers["Content-Security-Policy"] = _POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cache-Control"] = "no-store"


def install(app: FastAPI, names: Sequence[str]) -> None:
    """Guard `app`.

    Parameters
    ----------
    names
        Host names by which it may be called.
    """
    app.add_middleware(Guard, names=names)
    # Longer forms would be put into a file outside the spool, and coupling lists name patients.
    MultiPartParser.spool_max_size = MAX_LIST
