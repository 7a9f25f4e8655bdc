"""`/series` and `/studies/…/series`: what studies consist of."""

from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rendering import answers
from services.api.rendering.answers import DrawingDep
from services.api.rendering.wishes import PNG, Failure, Wish
from services.api.rights.deciding import PersonDep
from services.api.rights.studies import note_shown, require_seen, study_of_series
from services.api.routes import resource
from services.api.series import previews, service
from services.api.series.schemas import SeriesRead

router = resource("", "studies")

_PREVIEW: dict[int | str, Any] = {
    200: {
        "description": "The preview, or a placeholder that names the modality",
        "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The client has it already"},
}
Size = Annotated[int, Query(ge=64, le=1024, description="Longer side of the preview, pixels.")]


@router.get("/studies/{study_id}/series", responses=responses(404, 422))
async def list_series(
    study_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    limit: Limit = 50,
    after: After = None,
) -> Page[SeriesRead]:
    """List a study's series with their labels and facts, in the order of arrival."""
    async with runtime.ledger.reading() as connection:
        await require_seen(person, connection, runtime, study_id)
    await note_shown(person, runtime, [study_id])
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, study_id, limit, after)


@router.get("/series/{series_id}", responses=responses(404, 422))
async def read_series(series_id: PathId, person: PersonDep, runtime: RuntimeDep) -> SeriesRead:
    """Read one series."""
    async with runtime.ledger.reading() as connection:
        study_id = await study_of_series(connection, series_id)
        await require_seen(person, connection, runtime, study_id)
    await note_shown(person, runtime, [study_id])
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, series_id)


@router.get(
    "/series/{series_id}/preview",
    responses=_PREVIEW | responses(404, 422, 503),
    response_class=Response,
)
async def read_preview(
    series_id: PathId,
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    drawing: DrawingDep,
    size: Size = 192,
) -> Response:
    """Draw the image in the middle of a series; a placeholder where that is not possible."""
    async with runtime.ledger.reading() as connection:
        study_id = await study_of_series(connection, series_id)
        await require_seen(person, connection, runtime, study_id)
    await note_shown(person, runtime, [study_id])
    shown = await previews.find(runtime, drawing.choices, series_id)
    fit = (size, size)
    if shown.source is None:
        return answers.instead(shown.failure, shown.modality, fit, PNG)
    wish = Wish(media=PNG, fit=fit)
    tag = answers.tag_of(shown.source, wish)
    if answers.has_already(request, tag):
        return answers.unchanged(tag)
    outcome = await drawing.renderer.picture(shown.source, wish)
    if isinstance(outcome, Failure):
        return answers.instead(outcome, shown.modality, fit, PNG)
    return answers.picture(outcome, PNG, tag, {})
