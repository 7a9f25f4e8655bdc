"""The page of a project's table: what becomes of which element, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import RuntimeDep
from services.api.profiles.confirming import Weakness
from services.api.profiles.drafts import Draft
from services.api.profiles.finding import Show, is_found
from services.api.profiles.saving import seen_as
from services.api.projects.endpoints import Code
from services.api.projects.schemas import ProjectRead
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form
from services.api.web.profile.words import (
    ACTIONS,
    BASES,
    CONTENTS,
    OPTIONS,
    ORIGINS,
    POLICIES,
    SHOWN,
)
from services.api.web.projects.room import in_room, seen_project
from services.api.web.projects.show import Said
from shared.profile import Action
from shared.profile.contents import POLICIES as POSSIBLE
from shared.profile.tables import SOURCE
from shared.schemes import Scheme

PER_PAGE = 40
Part = Annotated[int, Query(ge=1, le=1000)]


@dataclass
class Look:
    """What of the table is shown, and what is said besides."""

    text: str = ""
    show: Show = Show.ALL
    part: int = 1
    done: str = ""
    form: Form = field(default_factory=Form)
    """Of the row to be added; its title is about the whole."""
    to_confirm: Sequence[Weakness] = ()
    confirming: str = ""
    """What a person who confirms them sends."""


async def show_profile(
    request: Request,
    code: Code,
    person: PersonDep,
    runtime: RuntimeDep,
    text: Annotated[str, Query(max_length=100)] = "",
    show: Annotated[str, Query(max_length=16)] = "",
    part: Part = 1,
    done: Said = "",
) -> HTMLResponse:
    """The table that is in force for the project."""
    project = await seen_project(runtime, person, code)
    look = Look(text.strip(), show_of(show), part, done)
    return profile_page(request, person, project, draft_of(project), seen_as(project.profile), look)


def draft_of(project: ProjectRead, text: str | None = None) -> Draft:
    """A project's profile, or a changed one, ready to be changed."""
    legacy = project.identifier_scheme is not Scheme.KEYED
    return Draft(project.profile if text is None else text, name=project.code, legacy=legacy)


def show_of(text: str) -> Show:
    """Which rows a form or an address asks for."""
    return Show(text) if text in set(Show) else Show.ALL


def profile_page(
    request: Request,
    person: Person,
    project: ProjectRead,
    draft: Draft,
    seen: str,
    look: Look,
    status: int = 200,
) -> HTMLResponse:
    """The table under a draft, or a part of it.

    Parameters
    ----------
    seen
        What the draft was made from (`seen_as`).
    """
    table = draft.table
    found = [row for row in table.rows if is_found(row, look.text, look.show)]
    last = max(1, -(-len(found) // PER_PAGE))
    part = min(look.part, last)
    context: dict[str, Any] = {
        "look": look,
        "draft": draft,
        "seen": seen,
        "is_changed": draft.text != draft_of(project).text,
        "problems": table.problems,
        "wrong": sum(bool(row.wrong) for row in table.rows),
        "weaker": sum(row.is_weaker for row in table.rows),
        "own": sum(row.is_own for row in table.rows),
        "all": len(table.rows),
        "found": len(found),
        "rows": found[(part - 1) * PER_PAGE : part * PER_PAGE],
        "part": part,
        "last": last,
        "is_source": draft.document.base == SOURCE,
        **_words(),
    }
    return in_room(request, "table.html", project, person, context, status, folder="profile")


def _words() -> dict[str, Any]:
    return {
        "actions": ACTIONS,
        "origins": ORIGINS,
        "shown": SHOWN,
        "bases": BASES,
        "options": OPTIONS,
        "contents": CONTENTS,
        "policies": POLICIES,
        "possible": POSSIBLE,
        "addable": [one for one in ACTIONS if one in _ADDABLE],
    }


_ADDABLE = (
    Action.REMOVE, Action.EMPTY, Action.KEEP, Action.LITERAL, Action.HASH, Action.INCREMENTDATE,
    Action.HASHUID_PROJECT, Action.PROCESS, Action.DUMMY, Action.HOLD,
)  # fmt: skip
