"""Which originals who asks over DICOMweb may see: the one place that says so."""

from fastapi import Request
from sqlalchemy import ColumnElement, and_, select

from services.api.dicomweb.holding import Held, find
from services.api.dicomweb.matching import is_shown
from services.api.problems import evicted
from services.api.rights.person import Person
from services.api.rights.studies import note_shown, seen_by
from shared.ledger import Connection
from shared.ledger.states import Keeping
from shared.ledger.tables import Project, RoutingRule, core
from shared.ledger.titles import titles
from shared.people import Right
from shared.runtime import Runtime
from shared.settings import Settings


async def seen(request: Request, runtime: Runtime, connection: Connection) -> ColumnElement[bool]:
    """What holds for the studies that may be seen: as over the REST API, and not withdrawn."""
    return and_(is_shown(), await seen_by(_person(request), connection, runtime))


async def held(request: Request, runtime: Runtime, *uids: str) -> list[Held]:
    """The instances of a study, a series, or one, for who asks; a 404 problem where there are none,
    a 410 problem where all of them were removed in their time.

    Parameters
    ----------
    uids
        Of the study, and of the series and the instance where only these are asked for.
    """
    here, _ = await held_and_gone(request, runtime, *uids)
    return here


async def held_and_gone(request: Request, runtime: Runtime, *uids: str) -> tuple[list[Held], int]:
    """The same, and how many further ones were removed."""
    async with runtime.ledger.reading() as connection:
        found = await find(connection, await seen(request, runtime, connection), *uids)
    await note(request, runtime, {one.study_id for one in found})
    here = [one for one in found if one.keeping == Keeping.HERE]
    if not here:
        raise evicted()
    return here, len(found) - len(here)


async def note(request: Request, runtime: Runtime, study_ids: set[int]) -> None:
    """Audit who has seen what these studies say of the patient."""
    await note_shown(_person(request), runtime, list(study_ids))


async def may_store_for(
    request: Request, connection: Connection, settings: Settings, title: str
) -> bool:
    """Whether there is such an AE title, and who asks may assign in the projects behind it."""
    person = _person(request)
    if title not in await titles(connection, settings.ae_title):
        return False
    project, rule = core(Project), core(RoutingRule)
    behind = await connection.scalars(
        select(project.c.id)
        .where(project.c.code == title)
        .union(select(rule.c.project_id).where(rule.c.called_aet == title, rule.c.enabled))
    )
    return title == settings.ae_title or all(person.may(Right.ASSIGN, one) for one in behind)


def _person(request: Request) -> Person:
    person: Person = request.state.person
    return person
