"""What people do to a project's table: change rows, put them back, add some, save.

What is not saved yet travels in the form. So whatever is pressed, nothing that was changed is lost,
and the page works without JavaScript.
"""

from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.problems import ProblemError, complaints_of, rule_broken
from services.api.profiles.confirming import digest, new_weaknesses
from services.api.profiles.drafts import Draft, new_entry
from services.api.profiles.keys import elements_of
from services.api.profiles.saving import CHANGED_MEANWHILE, save, seen_as
from services.api.projects.endpoints import Code
from services.api.projects.schemas import ProjectRead
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered
from services.api.web.profile.show import Look, draft_of, profile_page, show_of
from services.api.web.profile.words import NO_ELEMENT
from services.api.web.projects.room import seen_project
from shared.profile import ProfileError
from shared.runtime import Runtime

TYPED = ("value:", "pattern:", "put:")
"""Fields of rows in which blanks count."""
_LONGEST = 100_000
_ADDED = ("element", "creator", "new_action", "new_value")


async def edit_profile(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Take in what was changed on the page, and do what was pressed."""
    project = await seen_project(runtime, person, code)
    sent = entered(await request.form(), lists=("options",), as_they_are=TYPED)
    press, _, what = str(sent.get("press", "")).partition(":")
    if press == "discard":
        return _back(code, "")
    draft, seen = sent_draft(project, sent)
    look = Look(str(sent.get("text", "")), show_of(str(sent.get("show", ""))), _part(sent))
    try:
        draft.apply(sent)
        if press == "back":
            draft.put(what, None)
        elif press == "add":
            look.form = _added(draft, sent, look)
        elif press == "part" and what.isascii() and what.isdigit():
            look.part = max(1, int(what[:4]))
    except ValidationError as error:
        look.form = Form(sent).refused(error)
    if press == "save" and not look.form.title and draft.table.is_sound:
        return await _save(request, runtime, person, project, draft, seen, sent, look)
    if look.form.title or (press == "save" and not draft.table.is_sound):
        return profile_page(request, person, project, draft, seen, look, 422)
    return profile_page(request, person, project, draft, seen, look)


def sent_draft(project: ProjectRead, sent: dict[str, Any]) -> tuple[Draft, str]:
    """The draft that a form carries, and what it was made from."""
    if "draft" not in sent:
        return draft_of(project), seen_as(project.profile)
    if len(sent["draft"]) > _LONGEST:
        raise rule_broken("profile", "A profile has 100,000 characters at most.")
    try:
        return draft_of(project, str(sent["draft"])), str(sent.get("seen", ""))[:64]
    except ProfileError as error:
        raise rule_broken("profile", str(error)) from None


async def _save(
    request: Request,
    runtime: Runtime,
    person: Person,
    project: ProjectRead,
    draft: Draft,
    seen: str,
    sent: dict[str, Any],
    look: Look,
) -> Response:
    if seen != seen_as(project.profile):
        look.form = Form().refused(ProblemError(412, CHANGED_MEANWHILE))
        return profile_page(request, person, project, draft, seen, look, 412)
    weaker = new_weaknesses(draft_of(project), draft)
    if weaker and sent.get("confirmed") != digest(weaker):
        look.to_confirm, look.confirming = weaker, digest(weaker)
        return profile_page(request, person, project, draft, seen, look, 422)
    try:
        await save(runtime, project.code, draft.text, seen)
    except (ProblemError, ValidationError) as error:
        look.form = Form().refused(error)
        status = complaints_of(error).status
        return profile_page(request, person, project, draft, seen, look, status)
    return _back(project.code, "?done=saved")


def _added(draft: Draft, sent: dict[str, Any], look: Look) -> Form:
    """Put the row in that somebody has added; the form with what is wrong with it."""
    values = {name: sent.get(name, "") for name in _ADDED}
    entry = new_entry(
        values["element"], values["creator"], values["new_action"], values["new_value"]
    )
    if elements_of(entry) is None:
        return Form(values).refused(rule_broken("element", NO_ELEMENT))
    key = draft.add(entry)
    row = draft.table.row(key)
    # So that it is seen, wherever in the table it belongs.
    look.text, look.show, look.part = (row.element if row else ""), show_of(""), 1
    return Form()


def _part(sent: dict[str, Any]) -> int:
    text = str(sent.get("part", ""))
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 5 else 1


def _back(code: str, query: str) -> RedirectResponse:
    return RedirectResponse(f"/projects/{code}/profile{query}", status_code=303)
