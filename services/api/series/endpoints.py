"""`/series` and `/studies/…/series`: what studies consist of."""

from fastapi import APIRouter

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.rights.studies import require_seen, study_of_series
from services.api.series import service
from services.api.series.schemas import SeriesRead

router = APIRouter(tags=["studies"])


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
        return await service.list_page(connection, study_id, limit, after)


@router.get("/series/{series_id}", responses=responses(404, 422))
async def read_series(series_id: PathId, person: PersonDep, runtime: RuntimeDep) -> SeriesRead:
    """Read one series."""
    async with runtime.ledger.reading() as connection:
        study_id = await study_of_series(connection, series_id)
        await require_seen(person, connection, runtime, study_id)
        return await service.get(connection, series_id)
