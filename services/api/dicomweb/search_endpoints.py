"""QIDO-RS: what is held here (PS3.18 section 10.6)."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.dicomweb import answers, query
from services.api.dicomweb.matching import Level
from services.api.dicomweb.searching import search

router = APIRouter(default_response_class=Response)

_EXAMPLE = [
    {
        "0020000D": {"vr": "UI", "Value": ["1.2.826.0.1.3680043.8.498.1"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nordmann^Kari"}]},
        "00080061": {"vr": "CS", "Value": ["MR"]},
    }
]
_PARAMETERS = {
    "limit": f"Most results; at most {query.MOST_RESULTS}.",
    "offset": "Results to leave out first.",
    "includefield": "Further attributes by keyword or tag, or `all`.",
    "fuzzymatching": "Not supported: names match literally, or with `*` and `?`.",
    "PatientID": "A matching key; so are the others of docs/dicomweb.md, by keyword or tag.",
}
_OPTIONS: dict[str, Any] = {
    "responses": answers.described(_EXAMPLE, 400, 406) | {204: {"description": "Nothing matches"}},
    "openapi_extra": {
        "parameters": [
            {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
            for name, words in _PARAMETERS.items()
        ]
    },
}


@router.get("/studies", **_OPTIONS)
async def search_for_studies(request: Request, runtime: RuntimeDep) -> Response:
    """Search for studies; the newest come first."""
    return await _search(request, runtime, Level.STUDY)


@router.get("/studies/{study}/series", **_OPTIONS)
async def search_for_series_of_study(study: str, request: Request, runtime: RuntimeDep) -> Response:
    """Search for series of a study."""
    return await _search(request, runtime, Level.SERIES, study)


@router.get("/studies/{study}/instances", **_OPTIONS)
async def search_for_instances_of_study(
    study: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Search for instances of a study."""
    return await _search(request, runtime, Level.INSTANCE, study)


@router.get("/studies/{study}/series/{series}/instances", **_OPTIONS)
async def search_for_instances_of_series(
    study: str, series: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Search for instances of a series."""
    return await _search(request, runtime, Level.INSTANCE, study, series)


@router.get("/series", **_OPTIONS)
async def search_for_series(request: Request, runtime: RuntimeDep) -> Response:
    """Search for series of all studies."""
    return await _search(request, runtime, Level.SERIES)


@router.get("/instances", **_OPTIONS)
async def search_for_instances(request: Request, runtime: RuntimeDep) -> Response:
    """Search for instances of all studies."""
    return await _search(request, runtime, Level.INSTANCE)


async def _search(
    request: Request,
    runtime: RuntimeDep,
    level: Level,
    study: str | None = None,
    series: str | None = None,
) -> Response:
    kind, root = answers.kind_of(request), answers.root_of(request)
    wanted = query.parse(request.query_params)
    found = await search(request, runtime, wanted, level, root, study, series)
    headers = answers.warning(wanted.warnings, root)
    if not found:
        return Response(status_code=204, headers=headers)
    return answers.data_sets(found, kind, headers)
