"""Saves a project's profile, unless somebody else has meanwhile."""

import hashlib

from sqlalchemy import select

from services.api.problems import ProblemError
from services.api.projects import service as projects
from services.api.projects.schemas import ProjectChange
from shared.ledger.tables import Project, core
from shared.runtime import Runtime

CHANGED_MEANWHILE = (
    "Somebody else has changed the rules of this project meanwhile. Nothing was saved: load the "
    "page again, and repeat what you did."
)
_project = core(Project)


def seen_as(profile: str) -> str:
    """What tells one text of a profile from another."""
    return hashlib.sha256(profile.encode()).hexdigest()


async def save(runtime: Runtime, code: str, profile: str, seen: str) -> None:
    """Give the project its profile.

    Parameters
    ----------
    seen
        `seen_as` of the profile that was shown when the changes were begun.

    Raises
    ------
    ProblemError
        409 where it is another one by now, or something in it can't be changed any more; 422.
    ValidationError
        It is no profile.
    """
    body = ProjectChange.model_validate({"profile": profile})
    async with runtime.ledger.session() as session:
        connection = await session.connection()
        there = await connection.scalar(
            select(_project.c.profile).where(_project.c.code == code).with_for_update()
        )
        if seen_as(there or "") != seen:
            raise ProblemError(409, CHANGED_MEANWHILE)
        if profile != there:
            await projects.change(session, code, body)
