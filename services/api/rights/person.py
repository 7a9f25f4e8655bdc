"""Who sends a request, and what that person may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.api.problems import ProblemError, not_found
from shared.ledger.auditing import Actor
from shared.people import PROJECT_RIGHTS, SYSTEM_RIGHTS, Right


@dataclass(frozen=True)
class Person:
    """A person, or a system with that person's token.

    Parameters
    ----------
    actor
        How the audit names whoever it was.
    account_id
        None where nobody is signed in.
    system
        Rights in the whole system.
    everywhere
        Rights in every project.
    projects
        Rights in single projects, by their ids.
    """

    actor: str
    account_id: int | None = None
    name: str = ""
    language: str = ""
    system: frozenset[Right] = frozenset()
    everywhere: frozenset[Right] = frozenset()
    projects: Mapping[int, frozenset[Right]] = field(default_factory=dict)
    token_id: int | None = None
    by_cookie: bool = False
    """The browser sends what shows who it is by itself, whoever made it send the request."""

    def may(self, right: Right, project_id: int | None = None) -> bool:
        """Whether they have a right in a project; without one, in the system."""
        if right in SYSTEM_RIGHTS:
            return right in self.system
        return right in self.everywhere or right in self.projects.get(project_id or 0, frozenset())

    def may_somewhere(self, right: Right) -> bool:
        """Whether they have a right in the system or in any project."""
        held = self.everywhere.union(self.system, *self.projects.values())
        return right in held

    def projects_with(self, right: Right) -> list[int] | None:
        """The projects in which they have a right; None for all."""
        if right in self.everywhere:
            return None
        return sorted(one for one, rights in self.projects.items() if right in rights)

    def require(self, right: Right, project_id: int, what: str = "project") -> None:
        """Go no further without a right in a project.

        Raises
        ------
        ProblemError
            404 for whoever may not know that there is such a thing, otherwise 403.
        """
        if self.may(right, project_id):
            return
        if not self.may(Right.VIEW, project_id):
            raise not_found(what)
        raise refused(right)


def require_browser(person: Person) -> None:
    """Go no further with a token: it must not make itself more than it is, or last longer.

    Raises
    ------
    ProblemError
        403.
    """
    if person.account_id is not None and not person.by_cookie:
        raise ProblemError(403, "Sign in on the page for that: a token may not.")


def refused(right: Right) -> ProblemError:
    """The person lacks a right."""
    return ProblemError(403, _WORDS[right])


_WORDS = {
    Right.VIEW: "You may not see this.",
    Right.ASSIGN: "You may not assign studies in this project.",
    Right.IDENTIFY: "You may not see who the participants of this project are.",
    Right.CORRECT: "You may not stop or correct what goes into this project.",
    Right.EXPORT: "You may not take data out of this project.",
    Right.MANAGE: "You may not change this project: ask one of its owners.",
    Right.OPERATE: "This is for those who run Sluse.",
    Right.ADMINISTER: "This is for the administrators of Sluse.",
}

EVERYBODY_HERE = Person(
    Actor.HERE, system=SYSTEM_RIGHTS, everywhere=PROJECT_RIGHTS, name="this machine"
)
"""Whoever uses the machine that Sluse runs on, as long as it has no accounts."""
