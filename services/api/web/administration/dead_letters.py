"""The page of the messages that nobody could handle: read, sent again, or discarded."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dead_letters import endpoints as rest
from services.api.dead_letters.schemas import Discard
from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After
from services.api.problems import Problem, ProblemError, complaints_of
from services.api.rights.deciding import PersonDep
from services.api.web.forms import entered
from services.api.web.templating import templates
from services.api.web.words import DEAD_LETTERS
from shared.errors import Retry
from shared.ledger.states import DeadLetterState
from shared.runtime import Runtime

_HERE = "/administration/dead-letters"
_SHOWN = 50


async def show_dead_letters(
    request: Request,
    runtime: RuntimeDep,
    state: DeadLetterState = DeadLetterState.OPEN,
    after: After = None,
) -> HTMLResponse:
    """The messages in one state, the newest first."""
    return await _page(request, runtime, state, after)


async def press_retry_letter(
    request: Request, dead_letter_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Send a message again."""
    try:
        await rest.retry_dead_letter(dead_letter_id, person, runtime)
    except ProblemError as error:
        return await _page(request, runtime, problem=error.problem)
    except Retry as error:
        away = Problem(status=503, title=error.reason.in_words)
        return await _page(request, runtime, problem=away)
    return RedirectResponse(f"{_HERE}?state=retried", status_code=303)


async def press_discard_letter(
    request: Request, dead_letter_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Note why a message is not needed."""
    try:
        body = Discard.model_validate(entered(await request.form()))
        await rest.discard_dead_letter(dead_letter_id, body, person, runtime)
    except (ProblemError, ValidationError) as error:
        return await _page(request, runtime, problem=complaints_of(error))
    return RedirectResponse(f"{_HERE}?state=discarded", status_code=303)


async def _page(
    request: Request,
    runtime: Runtime,
    state: DeadLetterState = DeadLetterState.OPEN,
    after: int | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    context = {
        "page": await rest.list_dead_letters(runtime, state, _SHOWN, after),
        "state": state,
        "states": DEAD_LETTERS,
        "problem": problem,
    }
    return templates.TemplateResponse(
        request, "administration/dead-letters.html", context, problem.status if problem else 200
    )
