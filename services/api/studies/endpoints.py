"""`/studies`: what has arrived."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import Page
from services.api.problems import responses
from services.api.studies import calendar, service
from services.api.studies.filters import StudyQuery
from services.api.studies.schemas import CalendarDay, CalendarQuery, StudyRead, StudySearch

router = APIRouter(prefix="/studies", tags=["studies"])


@router.get("", responses=responses(422))
async def list_studies(
    wanted: Annotated[StudyQuery, Query()], runtime: RuntimeDep
) -> Page[StudyRead]:
    """List studies, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, wanted)


@router.post("/search", responses=responses(422))
async def search_studies(
    body: StudySearch, wanted: Annotated[StudyQuery, Query()], runtime: RuntimeDep
) -> Page[StudyRead]:
    """List the studies with an accession number, a patient id or a UID, the newest first.

    A POST, for addresses end up in the logs of proxies and in the histories of browsers.
    """
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, wanted, body.text)


@router.get("/calendar", responses=responses(422))
async def count_by_day(
    wanted: Annotated[CalendarQuery, Query()], runtime: RuntimeDep
) -> list[CalendarDay]:
    """Count studies day by day; days without any are left out."""
    async with runtime.ledger.reading() as connection:
        return await calendar.count(connection, wanted)


@router.get("/{study_id}", responses=responses(404, 422))
async def read_study(study_id: PathId, runtime: RuntimeDep) -> StudyRead:
    """Read one study."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, study_id)
