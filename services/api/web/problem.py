"""Shows problems to people, who should not have to read JSON."""

from fastapi import Request
from starlette.responses import Response

from services.api.problems import FieldError, Problem, answer
from services.api.rights.deciding import FORM_HEADER
from services.api.web.languages import language_of, translated
from services.api.web.templating import templates

_PROGRAMS = ("/api/", "/dicom-web", "/healthz", "/readyz", "/metrics", "/openapi.json")


def show_problem(request: Request, problem: Problem) -> Response | None:
    """The page of a problem; None where a program asks, or a part of a page."""
    accepts = request.headers.get("accept", "")
    if request.url.path.startswith(_PROGRAMS) or "text/html" not in accepts:
        return answer(_in_words(request, problem)) if FORM_HEADER in request.headers else None
    if "hx-request" in request.headers:
        return None
    return templates.TemplateResponse(
        request, "problem.html", {"problem": problem}, status_code=problem.status
    )


def _in_words(request: Request, problem: Problem) -> Problem:
    """The problem as a script on a page tells it to the person in front of it."""
    language = language_of(request)
    return Problem(
        title=translated(language, problem.title),
        status=problem.status,
        errors=[
            FieldError(field=one.field, message=translated(language, one.message))
            for one in problem.errors
        ],
    )
