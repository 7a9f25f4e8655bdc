"""Shows studies to people: only those that they may see, and each showing is audited."""

from sqlalchemy import select

from services.api.paging import Page
from services.api.rights.person import Person
from services.api.rights.studies import note_shown, require_project, require_seen, seen_by
from services.api.studies import calendar, service
from services.api.studies.filters import StudyFilter, StudyQuery
from services.api.studies.schemas import CalendarDay, CalendarQuery, StudyRead
from shared.ledger import Connection
from shared.ledger.tables import Project, core
from shared.people import Right
from shared.runtime import Runtime


async def list_shown(
    person: Person, runtime: Runtime, wanted: StudyQuery, text: str | None = None
) -> Page[StudyRead]:
    """The studies that are wanted, of those that the person may see. The caller audits them."""
    async with runtime.ledger.reading() as connection:
        await _require_filter(person, connection, wanted)
        seen = await seen_by(person, connection, runtime)
        page = await service.list_page(connection, wanted, seen, text)
        await _without_others(person, connection, page.items)
    return page


async def show(person: Person, runtime: Runtime, study_id: int) -> StudyRead:
    """One study; a 404 problem for whoever may not see it."""
    async with runtime.ledger.reading() as connection:
        await require_seen(person, connection, runtime, study_id)
        found = await service.get(connection, study_id)
        await _without_others(person, connection, [found])
    await note_shown(person, runtime, [study_id])
    return found


async def count_shown(person: Person, runtime: Runtime, wanted: CalendarQuery) -> list[CalendarDay]:
    """How many studies each day has, of those that the person may see."""
    async with runtime.ledger.reading() as connection:
        await _require_filter(person, connection, wanted)
        seen = await seen_by(person, connection, runtime)
        return await calendar.count(connection, wanted, seen)


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
