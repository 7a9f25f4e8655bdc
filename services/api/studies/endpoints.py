"""`/studies`: what has arrived."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import note_shown, require_project, require_seen, seen_by
from services.api.studies import calendar, service
from services.api.studies.filters import StudyFilter, StudyQuery
from services.api.studies.schemas import CalendarDay, CalendarQuery, StudyRead, StudySearch
from shared.ledger import Connection
from shared.ledger.tables import Project, core
from shared.people import Right
from shared.runtime import Runtime

router = APIRouter(prefix="/studies", tags=["studies"])


@router.get("", responses=responses(422))
async def list_studies(
    wanted: Annotated[StudyQuery, Query()], person: PersonDep, runtime: RuntimeDep
) -> Page[StudyRead]:
    """List studies, the newest first."""
    return await _listed(person, runtime, wanted)


@router.post("/search", responses=responses(422))
async def search_studies(
    body: StudySearch,
    wanted: Annotated[StudyQuery, Query()],
    person: PersonDep,
    runtime: RuntimeDep,
) -> Page[StudyRead]:
    """List the studies with an accession number, a patient id or a UID, the newest first.

    A POST, for addresses end up in the logs of proxies and in the histories of browsers.
    """
    return await _listed(person, runtime, wanted, body.text)


@router.get("/calendar", responses=responses(422))
async def count_by_day(
    wanted: Annotated[CalendarQuery, Query()], person: PersonDep, runtime: RuntimeDep
) -> list[CalendarDay]:
    """Count studies day by day; days without any are left out."""
    async with runtime.ledger.reading() as connection:
        await _require_filter(person, connection, wanted)
        seen = await seen_by(person, connection, runtime)
        return await calendar.count(connection, wanted, seen)


@router.get("/{study_id}", responses=responses(404, 422))
async def read_study(study_id: PathId, person: PersonDep, runtime: RuntimeDep) -> StudyRead:
    """Read one study."""
    async with runtime.ledger.reading() as connection:
        await require_seen(person, connection, runtime, study_id)
        found = await service.get(connection, study_id)
        await _without_others(person, connection, [found])
    await note_shown(person, runtime, [study_id])
    return found


async def _listed(
    person: Person, runtime: Runtime, wanted: StudyQuery, text: str | None = None
) -> Page[StudyRead]:
    async with runtime.ledger.reading() as connection:
        await _require_filter(person, connection, wanted)
        seen = await seen_by(person, connection, runtime)
        page = await service.list_page(connection, wanted, seen, text)
        await _without_others(person, connection, page.items)
    await note_shown(person, runtime, [one.id for one in page.items])
    return page


async def _require_filter(person: Person, connection: Connection, wanted: StudyFilter) -> None:
    """Who is in another project is not to be found out by asking for it."""
    if wanted.project is not None and person.projects_with(Right.VIEW) is not None:
        await require_project(person, connection, Right.VIEW, wanted.project)


async def _without_others(person: Person, connection: Connection, studies: list[StudyRead]) -> None:
    """Leave out the projects that the person may not know of."""
    known = person.projects_with(Right.VIEW)
    if known is None:
        return
    project = core(Project)
    codes = set(await connection.scalars(select(project.c.code).where(project.c.id.in_(known))))
    for one in studies:
        one.projects = [code for code in one.projects if code in codes]
