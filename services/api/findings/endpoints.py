"""`/findings`: why images were held."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.fields import ProjectCode, RowId
from services.api.findings import service
from services.api.findings.schemas import FindingRead
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from shared.people import Right

router = resource("/findings", "findings")


@router.get("", responses=responses(422))
async def list_findings(
    person: PersonDep,
    runtime: RuntimeDep,
    project: Annotated[ProjectCode | None, Query(description="Only this project's.")] = None,
    transfer_id: Annotated[RowId | None, Query(description="Only this transfer's.")] = None,
    is_open: Annotated[
        bool | None,
        Query(description="Only those for which an image is held still, or the others."),
    ] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[FindingRead]:
    """List why images of one's projects were held, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection,
            person.projects_with(Right.VIEW),
            project=project,
            transfer_id=transfer_id,
            is_open=is_open,
            limit=limit,
            after=after,
        )


@router.get("/{finding_id}", responses=responses(404, 422))
async def read_finding(finding_id: PathId, person: PersonDep, runtime: RuntimeDep) -> FindingRead:
    """Read one finding."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, person.projects_with(Right.VIEW), finding_id)
