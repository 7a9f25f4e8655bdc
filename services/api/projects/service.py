"""Reads and writes projects."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.problems import not_found, rule_broken, taken
from services.api.projects.schemas import ProjectChange, ProjectCreate
from shared.identity import MasterKey, new_project_key
from shared.ledger.tables import Destination, Project


async def every(session: AsyncSession) -> list[Project]:
    """All projects, by code."""
    return list(await session.exec(select(Project).order_by(col(Project.code))))


async def get(session: AsyncSession, code: str) -> Project:
    """One project; a 404 problem when there is none."""
    found = (await session.exec(select(Project).where(Project.code == code))).first()
    if found is None:
        raise not_found("project")
    return found


async def create(session: AsyncSession, body: ProjectCreate, master_key: MasterKey) -> Project:
    """Enter a project with a key of its own; a 409 problem when code or number is taken."""
    await _check_free(session, body)
    await _check_destination(session, body.destination_id)
    secret = master_key.encrypt(new_project_key())
    project = Project.model_validate(body.model_dump() | {"secret": secret})
    session.add(project)
    try:
        await session.flush()
    except IntegrityError:  # entered at the same moment
        raise taken("code", "Another project has this code or number.") from None
    return project


async def change(session: AsyncSession, code: str, body: ProjectChange) -> Project:
    """Change a project."""
    project = await get(session, code)
    await _check_destination(session, body.destination_id)
    project.sqlmodel_update(body.model_dump())
    session.add(project)
    await session.flush()
    return project


async def _check_free(session: AsyncSession, body: ProjectCreate) -> None:
    for field, value in (("code", body.code), ("number", body.number)):
        same = select(Project).where(getattr(Project, field) == value)
        if value is not None and (await session.exec(same)).first():
            raise taken(field, f"Another project has this {field}.")


async def _check_destination(session: AsyncSession, destination_id: int | None) -> None:
    if destination_id and await session.get(Destination, destination_id) is None:
        raise rule_broken("destination_id", "There is no such destination.")
