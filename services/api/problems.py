"""Errors as `application/problem+json` (RFC 9457) that name the field."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from shared import telemetry
from shared.errors import Retry

log = telemetry.logger("api")

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER = "60"  # seconds
_NO_OBJECT = "Send a JSON object, with the header `content-type: application/json`."
_CHOOSE, _NO_TEXT, _NO_NUMBER = "Choose one of %(expected)s.", "Give a text.", "Give a number."
_NO_WHOLE, _NO_LIST, _NO_SECONDS = "Give a whole number.", "Give a list.", "Give a time span."
_NO_DATE, _NO_YES = "Give a date, like 2020-02-14.", "Say true or false."
_NO_TIME = "Give a time of day, like 22:00."
_NO_MOMENT = "Give a moment, like 2020-02-14T10:15:00Z."
# By pydantic's names of errors: what it says of these itself is for programmers. A test knows all
# names, so that new ones are not forgotten.
WORDS = {
    "bool_parsing": _NO_YES,
    "bool_type": _NO_YES,
    "date_from_datetime_inexact": _NO_DATE,
    "date_from_datetime_parsing": _NO_DATE,
    "date_parsing": _NO_DATE,
    "date_type": _NO_DATE,
    "datetime_from_date_parsing": _NO_MOMENT,
    "datetime_object_invalid": _NO_MOMENT,
    "datetime_parsing": _NO_MOMENT,
    "datetime_type": _NO_MOMENT,
    "dict_type": _NO_OBJECT,
    "enum": _CHOOSE,
    "extra_forbidden": "There is no such field here.",
    "finite_number": _NO_NUMBER,
    "float_parsing": _NO_NUMBER,
    "float_type": _NO_NUMBER,
    "greater_than": "Give more than %(gt)s.",
    "greater_than_equal": "Give %(ge)s or more.",
    "int_from_float": _NO_WHOLE,
    "int_parsing": _NO_WHOLE,
    "int_parsing_size": "This number is too large.",
    "int_type": _NO_WHOLE,
    "json_invalid": "This is not JSON.",
    "less_than": "Give less than %(lt)s.",
    "less_than_equal": "Give %(le)s or less.",
    "list_type": _NO_LIST,
    "literal_error": _CHOOSE,
    "missing": "This is missing.",
    "model_attributes_type": _NO_OBJECT,
    "model_type": _NO_OBJECT,
    "multiple_of": "Give a multiple of %(multiple_of)s.",
    "none_required": "Leave this out.",
    "set_type": _NO_LIST,
    "string_not_ascii": "Use plain letters only, without accents.",
    "string_pattern_mismatch": "This can't be written so.",
    "string_too_long": "This is too long: at most %(max_length)s characters.",
    "string_too_short": "This is too short: at least %(min_length)s characters.",
    "string_type": _NO_TEXT,
    "string_unicode": "There is a character in this that can't be read.",
    "time_delta_parsing": _NO_SECONDS,
    "time_delta_type": _NO_SECONDS,
    "time_parsing": _NO_TIME,
    "time_type": _NO_TIME,
    "timezone_aware": _NO_MOMENT,
    "timezone_naive": _NO_MOMENT,
    "too_long": "These are too many: at most %(max_length)s.",
    "too_short": "These are too few: at least %(min_length)s.",
    "tuple_type": _NO_LIST,
    "url_parsing": "This is not a web address.",
    "url_scheme": "This is not a web address.",
    "url_syntax_violation": "This is not a web address.",
    "url_too_long": "This is too long: at most %(max_length)s characters.",
    "url_type": "This is not a web address.",
    "uuid_parsing": "This is not a UUID.",
    "uuid_type": "This is not a UUID.",
}


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Dotted path of the field in the request.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """The body of every error answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "title": "The request breaks a rule.",
                "status": 422,
                "errors": [
                    {
                        "field": "participant",
                        "message": "The participant id does not fit the project's pattern.",
                    }
                ],
            }
        }
    )

    title: str = Field(description="What went wrong, in a sentence.")
    status: int = Field(description="The HTTP status.")
    errors: list[FieldError] = Field(default_factory=list, description="The fields at fault.")


class ProblemError(Exception):
    """Raised by services; becomes a problem answer."""

    def __init__(self, status: int, title: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(title)
        self.headers = {"Retry-After": _RETRY_AFTER} if status in (503, 507) else None
        self.problem = Problem(status=status, title=title, errors=list(errors))


def not_found(what: str) -> ProblemError:
    """There is no such thing."""
    return ProblemError(404, f"There is no such {what}.")


def evicted() -> ProblemError:
    """There was such a thing; its files were removed in their time."""
    return ProblemError(
        410, "The originals were removed in their time. Have them sent again to see them."
    )


def taken(field: str, message: str) -> ProblemError:
    """Something with that value exists already."""
    return ProblemError(409, "It exists already.", [FieldError(field=field, message=message)])


def settled(field: str, message: str) -> ProblemError:
    """What depends on it has happened already."""
    error = FieldError(field=field, message=message)
    return ProblemError(409, "This can't be changed any more.", [error])


def rule_broken(field: str, message: str) -> ProblemError:
    """The request is well-formed and breaks a rule."""
    return ProblemError(
        422, "The request breaks a rule.", [FieldError(field=field, message=message)]
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the problem answers `statuses`."""
    titles = {
        400: "Not understood",
        401: "Sign in, or send a token that is valid",
        403: "Not yours to do",
        404: "Not found",
        406: "Can't be given in any of the media types asked for",
        410: "Was here, and was removed in its time",
        409: "Exists already, or can't be changed any more",
        412: "Somebody else has changed it meanwhile",
        413: "Too large",
        415: "Not taken in this media type",
        422: "Breaks a rule",
        423: "Somebody else is at work on it at this moment",
        507: "The disk is full",
        503: "Try again later: the database does not answer",
    }
    return {
        status: {
            "description": titles[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _field(error: Any) -> str:
    """The dotted path of the field; of JSON that can't be read, the whole body."""
    if error["type"] == "json_invalid":
        return "body"
    return ".".join(map(str, error["loc"][1:])) or str(error["loc"][0])


def _messages(error: Any) -> list[str]:
    """What is wrong, in words; without the value itself, which may be patient data."""
    if error["type"] in WORDS:
        values = {name: str(value) for name, value in error.get("ctx", {}).items()}
        if values.get("min_length") == "1":
            return [WORDS["missing"]]
        if "expected" in values:
            values["expected"] = values["expected"].replace(" or ", ", ")
        return [WORDS[error["type"]] % values]
    # A profile has a line for each of its problems.
    return str(error["msg"]).removeprefix("Value error, ").splitlines()


def complaints_of(error: ProblemError | ValidationError) -> Problem:
    """What is wrong with what was entered, whoever found it."""
    if isinstance(error, ProblemError):
        return error.problem
    fields = [
        FieldError(field=".".join(map(str, one["loc"])), message=message)
        for one in error.errors(include_input=False, include_url=False)
        for message in _messages(one)
    ]
    return Problem(status=422, title="The request breaks a rule.", errors=fields)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The problem as an HTTP answer."""
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, page: Callable[[Request, Problem], Response | None]) -> None:
    """Answer every error of `app` as a problem.

    Parameters
    ----------
    page
        Shows a problem to a person; None where a program asks.
    """

    def told(
        request: Request, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> Response:
        shown = page(request, problem) or answer(problem)
        shown.headers.update(headers or {})
        return shown

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return told(request, error.problem, error.headers)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = [
            FieldError(field=_field(one), message=message)
            for one in error.errors()
            for message in _messages(one)
        ]
        problem = Problem(status=422, title="The request breaks a rule.", errors=fields)
        return told(request, problem)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = Problem(status=error.status_code, title=str(error.detail))
        return told(request, problem, error.headers)

    async def on_retry(request: Request, error: Exception) -> Response:
        assert isinstance(error, Retry)
        problem = Problem(status=503, title=error.reason.in_words)
        return told(request, problem, {"Retry-After": _RETRY_AFTER})

    async def on_leaving(_request: Request, _error: Exception) -> Response:
        # A page asks anew at each change and gives up what it asked before: nobody hears this.
        return Response(status_code=400)

    async def on_bug(request: Request, error: Exception) -> Response:
        log.error("request failed", exc_info=error)
        problem = Problem(status=500, title="Something went wrong here; it has been logged.")
        return told(request, problem)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Retry, on_retry)
    app.add_exception_handler(ClientDisconnect, on_leaving)
    app.add_exception_handler(Exception, on_bug)
