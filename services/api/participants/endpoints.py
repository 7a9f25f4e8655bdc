"""`/projects/…/participants`: who is in a project, by pseudonym, and how far it is."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.participants import service
from services.api.participants.schemas import ParticipantRead, Progress
from services.api.problems import responses
from services.api.projects.endpoints import Code
from services.api.routes import resource

router = resource("/projects/{code}", "projects")

StartsWith = Annotated[
    str | None, Query(max_length=64, description="Only pseudonyms that start so.")
]


@router.get("/participants", responses=responses(404, 422))
async def list_participants(
    code: Code,
    runtime: RuntimeDep,
    starts_with: StartsWith = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[ParticipantRead]:
    """List a project's participants, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection, code, starts_with=starts_with, limit=limit, after=after
        )


@router.get("/progress", responses=responses(404, 422))
async def read_progress(code: Code, runtime: RuntimeDep) -> Progress:
    """Read how far a project is: participants, transfers by state, instances by where they are."""
    async with runtime.ledger.reading() as connection:
        return await service.progress(connection, code)
