"""The form with everything of a project: to enter one, and to change it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.destinations import service as destinations
from services.api.problems import ProblemError
from services.api.projects import endpoints as rest
from services.api.projects import service as projects
from services.api.projects.endpoints import Code
from services.api.projects.schemas import ProjectChange, ProjectCreate, ProjectRead
from services.api.rights.deciding import PersonDep
from services.api.web.forms import Form, entered, without_empty
from services.api.web.projects.patterns import examples
from services.api.web.projects.room import in_room, seen_project
from services.api.web.templating import templates
from shared.clock import now
from shared.ledger.states import ProjectState
from shared.priority import Priority
from shared.runtime import Runtime
from shared.schemes import Scheme

_NEW = ("code", "number", "date_shift_days", "identifier_scheme")
_BOTH = (
    "title", "principal_investigator", "rek_number", "rek_start", "rek_end", "participant_pattern",
    "events", "sites", "destination_id", "priority", "state", "keep_originals_days",
    "keep_copies_days",
)  # fmt: skip
_OR_NONE = ("number", "date_shift_days", "rek_start", "rek_end", "participant_pattern",
            "destination_id", "keep_originals_days", "keep_copies_days")  # fmt: skip


async def show_new_project(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The form for a new project, with a number proposed."""
    async with runtime.ledger.session() as session:
        number = await projects.next_number(session, now().year)
    values = {
        "number": number,
        "state": ProjectState.ACTIVE.value,
        "priority": Priority.NORMAL.value,
        "identifier_scheme": Scheme.KEYED.value,
        "keep_copies_days": ProjectCreate.model_fields["keep_copies_days"].default,
    }
    return await _form(request, runtime, Form(values))


async def enter_project(request: Request, runtime: RuntimeDep) -> Response:
    """Enter a project; its members come next."""
    form = Form(entered(await request.form()))
    try:
        body = ProjectCreate.model_validate(values_of(form.values, (*_NEW, *_BOTH)))
        master_key = await runtime.load_master_key()
        async with runtime.ledger.session() as session:
            made = await projects.create(session, body, master_key, runtime.settings.ae_title)
            code = made.code
    except (ProblemError, ValidationError) as error:
        return await _form(request, runtime, _refused(form, error), status=422)
    return RedirectResponse(f"/projects/{code}/members?done=entered", status_code=303)


async def show_project_form(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """The form of a project that is there."""
    project = await seen_project(runtime, person, code)
    return await _form(request, runtime, Form(texts_of(project)), project=project, person=person)


async def save_project(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Change what differs."""
    project = await seen_project(runtime, person, code)
    form = Form(entered(await request.form()))
    try:
        values = values_of(form.values, _BOTH)
        body = ProjectChange.model_validate(values)
        # Only what differs, so that the audit is true.
        differing = {
            name: value
            for name, value in values.items()
            if getattr(body, name) != getattr(project, name)
        }
        if differing:
            change = ProjectChange.model_validate(differing)
            await rest.change_project(code, change, person, runtime, form.version)
    except (ProblemError, ValidationError) as error:
        return await _form(
            request, runtime, _refused(form, error), project=project, person=person, status=422
        )
    return RedirectResponse(f"/projects/{code}?done=saved", status_code=303)


async def show_pattern_examples(
    request: Request,
    participant_pattern: Annotated[str, Query(max_length=1000)] = "",
    sites: Annotated[str, Query(max_length=20_000)] = "",
) -> HTMLResponse:
    """What a pattern makes, or what is wrong with it: a part of the form, while it is filled in."""
    names, codes = _sites(sites)
    first = codes.get(names[0], names[0]) if names else ""
    context = {"shown": examples(participant_pattern.strip(), first), "has_site": bool(first)}
    return templates.TemplateResponse(request, "projects/pattern.html", context)


def values_of(texts: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What the form's texts say, by the names of the model's fields."""
    values: dict[str, Any] = {name: texts.get(name, "") for name in names}
    for name in _OR_NONE:
        if values.get(name) == "":
            values[name] = None
    values["events"] = _lines(values["events"])
    values["sites"], values["site_codes"] = _sites(values["sites"])
    return without_empty(values, but=_BOTH)


def texts_of(project: ProjectRead) -> dict[str, Any]:
    """A project as its form shows it."""
    values = project.model_dump(mode="json") | {"version": project.version()}
    codes = project.site_codes
    values["events"] = "\n".join(project.events)
    values["sites"] = "\n".join(
        f"{site} = {codes[site]}" if site in codes else site for site in project.sites
    )
    return values


def _lines(text: str) -> list[str]:
    return [line.strip() for line in str(text).splitlines() if line.strip()]


def _sites(text: str) -> tuple[list[str], dict[str, str]]:
    """Names and codes of lines like `Bergen = 01`; a name may hold the sign itself."""
    names, codes = [], {}
    for line in _lines(text):
        name, sign, code = (part.strip() for part in line.rpartition("="))
        names.append(name if sign else code)
        if sign and code:
            codes[name] = code
    return names, codes


def _refused(form: Form, error: ProblemError | ValidationError) -> Form:
    """What is wrong with sites' codes stands at the sites."""
    found = form.refused(error)
    for at in [one for one in found.complaints if one.partition(".")[0] == "site_codes"]:
        found.complaints.setdefault("sites", []).extend(found.complaints.pop(at))
    return found


async def _form(
    request: Request,
    runtime: Runtime,
    form: Form,
    *,
    project: ProjectRead | None = None,
    person: Any = None,
    status: int = 200,
) -> HTMLResponse:
    async with runtime.ledger.session() as session:
        known = [
            (row.id, f"{row.name} ({row.protocol.upper()}, {row.ae_title or row.url})")
            for row in await destinations.every(session)
        ]
    context = {
        "form": form,
        "destinations": known,
        "states": [one.value for one in ProjectState],
        "shown": [*_BOTH, *(() if project else _NEW)],
    }
    if project is None:
        return templates.TemplateResponse(request, "projects/new.html", context, status)
    return in_room(request, "edit.html", project, person, context, status)
