"""`/reports`: what was taken into projects, for those who account for it."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import RuntimeDep
from services.api.problems import responses
from services.api.reports import service
from services.api.reports.schemas import ProjectReport
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.studies.days import Day
from shared.people import Right

router = resource("/reports", "reports")


@router.get("/projects", responses=responses(422))
async def report_projects(
    person: PersonDep,
    runtime: RuntimeDep,
    requested_from: Annotated[
        Day | None, Query(description="Only what was requested on this day or later.")
    ] = None,
    requested_to: Annotated[
        Day | None, Query(description="Only what was requested on this day or earlier.")
    ] = None,
) -> list[ProjectReport]:
    """Say what was taken into each of one's projects in a time, and where every image of it is."""
    async with runtime.ledger.reading() as connection:
        return await service.by_project(
            connection, person.projects_with(Right.VIEW), requested_from, requested_to
        )
