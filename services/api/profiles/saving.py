"""Saves a project's profile, unless somebody else has meanwhile."""

import hashlib

from services.api.problems import ProblemError
from services.api.projects import service as projects
from services.api.projects.schemas import ProjectChange
from shared.runtime import Runtime

CHANGED_MEANWHILE = (
    "Somebody else has changed the rules of this project meanwhile. Nothing was saved: load the "
    "page again, and repeat what you did."
)


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
        412 where it is another one by now; 409 where something in it can't be changed any more;
        422.
    ValidationError
        It is no profile.
    """
    body = ProjectChange.model_validate({"profile": profile})
    async with runtime.ledger.session() as session:
        project = await projects.get(session, code, lock=True)
        if seen_as(project.profile) != seen:
            raise ProblemError(412, CHANGED_MEANWHILE)
        if profile != project.profile:
            await projects.change(session, project, body)
