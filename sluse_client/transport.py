"""Sends requests to Sluse and reads its answers: the token, the certificate, waiting, problems."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from sluse_client.versions import with_version

PREFIX = "/api/v1"
_REPEATED = ("GET", "HEAD", "POST")
"""What may be sent again: what reads, and what has an `Idempotency-Key`."""
_TRIES = 4
_LONGEST_WAIT = 60.0  # seconds
_SHORTEST_WAIT = 0.1

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SluseError(Exception):
    """Whatever keeps a call from being answered, in words for people."""


class UnreachableError(SluseError):
    """Nobody answers there, or not in a way that can be trusted."""


class UnexpectedAnswerError(SluseError):
    """What answers there does not speak as Sluse does."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    message: str


class ApiProblem(SluseError):
    """Sluse refuses (`application/problem+json`)."""

    def __init__(
        self,
        status: int,
        title: str,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("\n".join([title, *(f"  {e.field}: {e.message}" for e in errors)]))
        self.status, self.title, self.errors = status, title, errors
        self.headers = headers or {}
        self.more = more or {}
        """Members that only this kind of problem has, such as a coupling list's `report`."""


class PageLike(Protocol[T_co]):
    """A page of a list."""

    @property
    def items(self) -> Sequence[T_co]:
        """The rows."""
        ...

    @property
    def next(self) -> int | None:
        """What the next page comes after."""
        ...


def every(
    operation: Callable[..., PageLike[T]], *arguments: object, most: int | None = None, **query: Any
) -> Iterator[T]:
    """Call an operation that lists in pages, page after page; at most `most` rows."""
    after, given = None, 0
    while True:
        page = operation(*arguments, **query, after=after)
        for row in page.items:
            if given == most:
                return
            yield row
            given += 1
        after = page.next
        if after is None or given == most:
            return


def quoted(value: object) -> str:
    """`value` as one segment of a path."""
    text = str(value)
    # httpx takes dot segments away, and the path would lead elsewhere.
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


class Transport:
    """A connection to one Sluse; safe to use from several threads."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca_file: str | None = None,
        timeout: float = 60.0,
        http: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Connects at the first request.

        Parameters
        ----------
        url
            Where Sluse is, without `/api/v1`.
        ca_file
            Certificates (PEM) of the authorities to believe, instead of those of the system.
        timeout
            Seconds for each step of a request.
        """
        self.url = url.rstrip("/")
        self.pause = sleep
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            verify = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise UnreachableError(f"The certificates can't be read: {error}") from error
        try:
            # Nothing of the environment: a netrc entry would take the token's place.
            self.http = httpx.Client(
                base_url=self.url + PREFIX, headers=headers, timeout=timeout, verify=verify,
                transport=http, trust_env=False,
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError) as error:
            raise UnreachableError(f"{url} is no address, or the token is none.") from error

    def read(self, kind: type[T], verb: str, path: str, **request: Any) -> T:
        """The answer to a request as a model, or a list of models."""
        answer = self.send(verb, path, **request)
        try:
            return with_version(TypeAdapter(kind).validate_json(answer.content), answer.headers)
        except ValidationError as error:
            # Without the value itself, which may be patient data.
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the answer"
            raise UnexpectedAnswerError(
                f"{self.url} answers otherwise than this version understands ({where})."
            ) from None

    def send(
        self,
        verb: str,
        path: str,
        *,
        body: BaseModel | None = None,
        content: bytes | None = None,
        content_type: str = "application/json",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> httpx.Response:
        """Send a request; again after the `Retry-After` of a 503 where nothing is done twice.

        Parameters
        ----------
        if_match
            The `etag` with which a thing was read: it is changed only if nobody has since.

        Raises
        ------
        ApiProblem
            It is refused.
        UnreachableError
            Nobody answers.
        UnexpectedAnswerError
            Something else answers.
        """
        sent = dict(headers or {})
        if body is not None:
            content = body.model_dump_json(exclude_unset=True).encode()
        if content is not None:
            sent["content-type"] = content_type
        if if_match is not None:
            sent["if-match"] = if_match
        if verb == "POST":
            sent["idempotency-key"] = str(uuid4())
        request = self._request(verb, path, sent, content, _parameters(query or {}))
        for attempt in range(1, _TRIES + 1):
            answer = self._answer(request)
            if answer.status_code != 503 or verb not in _REPEATED or attempt == _TRIES:
                break
            self.pause(wait_of(answer.headers))
        if not answer.is_success:
            raise self._problem(answer)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _request(
        self,
        verb: str,
        path: str,
        headers: dict[str, str],
        content: bytes | None,
        query: dict[str, str],
    ) -> httpx.Request:
        try:
            return self.http.build_request(
                verb, path, headers=headers, content=content, params=query or None
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise UnreachableError(f"{self.url} is no address.") from error

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            return self.http.send(request)
        except httpx.UnsupportedProtocol:
            raise UnreachableError(f"{self.url} does not begin with http:// or https://.") from None
        except httpx.TimeoutException:
            raise UnreachableError(f"Sluse at {self.url} does not answer in time.") from None
        except httpx.TransportError as error:
            raise UnreachableError(f"Sluse at {self.url} can't be reached: {error}") from error

    def _problem(self, answer: httpx.Response) -> SluseError:
        try:
            body = answer.json()
            errors = tuple(FieldError(e["field"], e["message"]) for e in body.get("errors", ()))
            more = {k: v for k, v in body.items() if k not in ("title", "status", "errors")}
            return ApiProblem(answer.status_code, body["title"], errors, answer.headers, more)
        except (ValueError, KeyError, TypeError, AttributeError):
            if answer.request.method == "HEAD":  # has no body
                return ApiProblem(answer.status_code, "It is refused.", (), answer.headers)
            return UnexpectedAnswerError(
                f"{self.url} answers {answer.status_code}, and not as Sluse does."
            )


def wait_of(headers: Mapping[str, str]) -> float:
    """Seconds to wait, as `Retry-After` says, within reason."""
    try:
        seconds = float(headers.get("retry-after", "1"))
    except ValueError:  # a date
        seconds = 1.0
    return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)


def _parameters(query: Mapping[str, Any]) -> dict[str, str]:
    """What was given, as Sluse reads it."""
    texts = {}
    for name, value in query.items():
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif value is not None:
            texts[name] = value.isoformat() if isinstance(value, date) else str(value)
    return texts
