"""STOW-RS: instances come in (PS3.18 section 10.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import State
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.dicomweb import answers, media
from services.api.dicomweb.storing import store
from services.api.problems import ProblemError

router = APIRouter(default_response_class=Response)

_UID = "1.2.826.0.1.3680043.8.498.1"
_EXAMPLE = {
    "00081190": {"vr": "UR", "Value": [f"http://localhost:8080/dicom-web/studies/{_UID}"]},
    "00081199": {
        "vr": "SQ",
        "Value": [
            {
                "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                "00081155": {"vr": "UI", "Value": [f"{_UID}.3.1"]},
            }
        ],
    },
}
_ANSWERS = answers.described(_EXAMPLE, 400, 404, 406, 413, 415)
for _status, _words in ((202, "Some were taken, some were not"), (409, "None was taken")):
    _ANSWERS[_status] = _ANSWERS[200] | {"description": _words}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            f'{media.MULTIPART}; type="{media.DICOM}"': {
                "schema": {"type": "string", "format": "binary"}
            }
        },
    }
}
_OPTIONS: dict[str, Any] = {"responses": _ANSWERS, "openapi_extra": _BODY}


@router.post("/studies", **_OPTIONS)
async def store_instances(request: Request, runtime: RuntimeDep) -> Response:
    """Take instances: each is on the disk, synced, before the answer names it."""
    return await _store(request, runtime)


@router.post("/studies/{study}", **_OPTIONS)
async def store_instances_of_study(study: str, request: Request, runtime: RuntimeDep) -> Response:
    """Take instances of one study; those of others fail."""
    return await _store(request, runtime, study=study)


@router.post("/aet/{title}/studies", **_OPTIONS)
async def store_instances_for_title(title: str, request: Request, runtime: RuntimeDep) -> Response:
    """Take instances as if sent to an AE title: Sluse's own, a project's code, or a rule's."""
    return await _store(request, runtime, title=title)


@router.post("/aet/{title}/studies/{study}", **_OPTIONS)
async def store_instances_of_study_for_title(
    title: str, study: str, request: Request, runtime: RuntimeDep
) -> Response:
    """The same, of one study only."""
    return await _store(request, runtime, study=study, title=title)


async def _store(
    request: Request, runtime: RuntimeDep, *, study: str | None = None, title: str | None = None
) -> Response:
    kind = answers.kind_of(request)  # before anything is taken: it could not be answered for
    with _turn(request.app.state, runtime.settings.stow_max_requests):
        outcomes = await store(runtime, request, study, title)
    found = outcomes.answer(answers.root_of(request))
    return answers.data_set(found, kind, outcomes.status)


@contextmanager
def _turn(state: State, most: int) -> Iterator[None]:
    """One of as many requests as are taken at once; a 503 problem when there are too many.

    Each holds a file, a thread now and then and some memory; senders try again.
    """
    under_way: int = getattr(state, "storing", 0)
    if under_way >= most:
        raise ProblemError(503, "Too many are storing at this moment. Try again later.")
    state.storing = under_way + 1
    try:
        yield
    finally:
        state.storing -= 1
