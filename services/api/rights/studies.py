"""Which studies, as received, a person may see: they name the patient."""

from sqlalchemy import ColumnElement, exists, false, or_, select, true

from services.api.problems import not_found, rule_broken
from services.api.rights.person import Person, refused
from services.api.studies.filters import assigned
from shared.ledger import Connection
from shared.ledger.auditing import Action, audit
from shared.ledger.states import ENDED
from shared.ledger.tables import Project, Series, Study, Transfer, core
from shared.people import Right
from shared.routing import candidates
from shared.runtime import Runtime

_study, _series, _transfer, _project = core(Study), core(Series), core(Transfer), core(Project)

_LOOKED_AT = 2000
"""The newest unassigned studies that are offered to who may only assign."""


async def seen_by(person: Person, connection: Connection, runtime: Runtime) -> ColumnElement[bool]:
    """What holds for the studies that a person may see.

    Who may identify sees those of their projects, and those that no project has. Who may only
    assign sees those that no project has and theirs would take: by AE title, rule or coupling list.
    """
    projects = person.projects_with(Right.IDENTIFY)
    if projects is None:
        return true()
    if projects:
        theirs = exists().where(
            _transfer.c.study_id == _study.c.id,
            _transfer.c.project_id.in_(projects),
            _transfer.c.state.not_in(ENDED),
        )
        return or_(theirs, ~exists(assigned()))
    if not person.projects_with(Right.ASSIGN):
        return false()
    newest = await connection.scalars(
        select(_study.c.id)
        .where(~exists(assigned()))
        .order_by(_study.c.id.desc())
        .limit(_LOOKED_AT)
    )
    return _study.c.id.in_(await _offered(person, connection, runtime, list(newest)))


async def require_seen(
    person: Person, connection: Connection, runtime: Runtime, study_id: int
) -> None:
    """Go no further with a study that the person may not know of.

    Raises
    ------
    ProblemError
        404.
    """
    if not person.may_somewhere(Right.ASSIGN):
        raise refused(Right.ASSIGN)
    if person.projects_with(Right.IDENTIFY) == [] and person.everywhere == frozenset():
        # Not only of the newest: somebody has the address of this very one.
        is_free = ~exists(assigned())
        found = await connection.scalar(select(_study.c.id).where(_study.c.id == study_id, is_free))
        if found and await _offered(person, connection, runtime, [study_id]):
            return
        raise not_found("study")
    seen = await seen_by(person, connection, runtime)
    if not await connection.scalar(select(_study.c.id).where(_study.c.id == study_id, seen)):
        raise not_found("study")


async def study_of_series(connection: Connection, series_id: int) -> int:
    """The study that a series is in; a 404 problem when there is no such series."""
    found = await connection.scalar(select(_series.c.study_id).where(_series.c.id == series_id))
    if found is None:
        raise not_found("series")
    return int(found)


async def require_project(person: Person, connection: Connection, right: Right, code: str) -> int:
    """The id of a project that a request names, in which the person has a right.

    Raises
    ------
    ProblemError
        422 where there is none, or they may not know of it; otherwise 403.
    """
    found = await connection.scalar(select(_project.c.id).where(_project.c.code == code))
    if found is None or not person.may(Right.VIEW, found):
        raise rule_broken("project", "There is no such project.")
    if not person.may(right, found):
        raise refused(right)
    return int(found)


async def may_identify(person: Person, connection: Connection, transfer_id: int) -> bool:
    """Whether a person may see who the participant of a transfer is."""
    project_id = await connection.scalar(
        select(_transfer.c.project_id).where(_transfer.c.id == transfer_id)
    )
    return person.may(Right.IDENTIFY, project_id)


async def note_shown(person: Person, runtime: Runtime, study_ids: list[int]) -> None:
    """Audit that a person has seen who these studies' patients are."""
    if person.account_id is None or not study_ids:
        return
    async with runtime.ledger.transaction() as connection:
        await audit(connection, Action.IDENTITIES_SHOWN, studies=sorted(study_ids))


async def _offered(
    person: Person, connection: Connection, runtime: Runtime, study_ids: list[int]
) -> list[int]:
    """Those of the studies that the person's projects would take."""
    if not study_ids:
        return []
    wanted = await candidates(connection, study_ids, await runtime.load_master_key())
    return sorted({one.study_id for one in wanted if person.may(Right.ASSIGN, one.project_id)})
