"""Shows problems to people, who should not have to read JSON."""

from fastapi import Request
from starlette.responses import Response

from services.api.problems import Problem
from services.api.web.templating import templates

_PROGRAMS = ("/api/", "/dicom-web", "/healthz", "/readyz", "/metrics", "/openapi.json")


def show_problem(request: Request, problem: Problem) -> Response | None:
    """The page of a problem; None where a program asks, or a part of a page."""
    accepts = request.headers.get("accept", "")
    if request.url.path.startswith(_PROGRAMS) or "text/html" not in accepts:
        return None
    if "hx-request" in request.headers:
        return None
    return templates.TemplateResponse(
        request, "problem.html", {"problem": problem}, status_code=problem.status
    )
