"""`/studies`: what has arrived."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import note_shown
from services.api.routes import resource
from services.api.studies import showing
from services.api.studies.filters import StudyQuery
from services.api.studies.schemas import CalendarDay, CalendarQuery, StudyRead, StudySearch
from shared.runtime import Runtime

router = resource("/studies", "studies")


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
    return await showing.count_shown(person, runtime, wanted)


@router.get("/{study_id}", responses=responses(404, 422))
async def read_study(study_id: PathId, person: PersonDep, runtime: RuntimeDep) -> StudyRead:
    """Read one study."""
    return await showing.show(person, runtime, study_id)


async def _listed(
    person: Person, runtime: Runtime, wanted: StudyQuery, text: str | None = None
) -> Page[StudyRead]:
    page = await showing.list_shown(person, runtime, wanted, text)
    await note_shown(person, runtime, [one.id for one in page.items])
    return page
