"""`/studies`: what has arrived."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.fields import Uid
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.studies import service
from services.api.studies.schemas import StudyRead

router = APIRouter(prefix="/studies", tags=["studies"])


@router.get("", responses=responses(422))
async def list_studies(
    runtime: RuntimeDep,
    unassigned: Annotated[
        bool | None, Query(description="Only studies that no project has, or only the others.")
    ] = None,
    study_instance_uid: Annotated[
        Uid | None, Query(description="Only the study with this received UID.")
    ] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[StudyRead]:
    """List studies, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection,
            unassigned=unassigned,
            study_instance_uid=study_instance_uid,
            limit=limit,
            after=after,
        )


@router.get("/{study_id}", responses=responses(404, 422))
async def read_study(study_id: PathId, runtime: RuntimeDep) -> StudyRead:
    """Read one study."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, study_id)
