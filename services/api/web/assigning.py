"""The pages on which people assign studies to projects, and undo it."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.participants import service as participants
from services.api.problems import ProblemError, complaints_of
from services.api.projects import service as projects
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.series import service as series
from services.api.studies.schemas import StudyRead
from services.api.studies.showing import show
from services.api.transfers import service as transfers
from services.api.transfers.requesting import Outcome, request_all, undo
from services.api.transfers.schemas import TransferCreate
from services.api.web.forms import Form, entered, only
from services.api.web.studies import patients_of, projects_of
from services.api.web.templating import templates
from services.api.web.words import CAN_BE_CONFIRMED
from shared.ledger.tables import Project
from shared.people import Right
from shared.runtime import Runtime

_MOST = 50
"""Studies at once: their previews are shown, and one transaction takes them."""
_MOST_PREVIEWS = 12
_SUGGESTED = 20
_FIELDS = ("project", "participant", "event", "site", "confirmed")
Chosen = Annotated[list[int], Query(max_length=_MOST)]


async def choose_place(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    study: Chosen = [],  # noqa: B006
    project: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """Where the chosen studies are to go."""
    if not study:
        return RedirectResponse("/assign?nothing=chosen", status_code=303)
    return await _form(request, person, runtime, study, Form({"project": project}))


async def check_place(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """What would become of the studies, before anybody confirms it."""
    study_ids, form = _sent(await request.form())
    outcomes = await _requested(person, runtime, study_ids, form, trying=True)
    context = {"outcomes": _told(study_ids, outcomes), "form": form}
    return templates.TemplateResponse(request, "studies/check.html", context)


async def assign_studies(request: Request, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Assign the studies, or say what stands against it."""
    study_ids, form = _sent(await request.form())
    if not study_ids:
        return RedirectResponse("/assign", status_code=303)
    outcomes = await _requested(person, runtime, study_ids, form)
    if any(isinstance(one, ProblemError) for one in outcomes):
        return await _form(request, person, runtime, study_ids, form, outcomes)
    made = "&".join(f"made={one.id}" for one in outcomes if not isinstance(one, ProblemError))
    return RedirectResponse(f"/assign/done?{made}", status_code=303)


async def show_assigned(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    made: Chosen = [],  # noqa: B006
) -> HTMLResponse:
    """What was assigned, and a way back as long as nothing is sent."""
    async with runtime.ledger.reading() as connection:
        found = await transfers.several(connection, made, person.projects_with(Right.VIEW))
    return templates.TemplateResponse(request, "studies/assigned.html", {"transfers": found})


async def undo_assignment(
    transfer_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> RedirectResponse:
    """Take an assignment back of which nothing has been sent."""
    await undo(person, runtime, transfer_id)
    return RedirectResponse(f"/transfers/{transfer_id}", status_code=303)


async def suggest_participants(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    project: Annotated[str, Query(max_length=16)] = "",
    participant: Annotated[str, Query(max_length=64)] = "",
) -> HTMLResponse:
    """Participants of a project whose ids begin with what somebody types."""
    found = []
    if any(project == code for code, _ in await projects_of(person, runtime, Right.ASSIGN)):
        async with runtime.ledger.reading() as connection:
            page = await participants.list_page(
                connection, project, starts_with=participant, limit=_SUGGESTED, after=None
            )
        found = [one.pseudonym for one in page.items]
    return templates.TemplateResponse(request, "studies/participants.html", {"found": found})


def _sent(sent: Any) -> tuple[list[int], Form]:
    values = entered(sent, lists=("study",))
    ids = [int(one) for one in values["study"] if one.isascii() and one.isdigit() and len(one) < 19]
    return list(dict.fromkeys(ids))[:_MOST], Form({name: values.get(name, "") for name in _FIELDS})


async def _requested(
    person: Person, runtime: Runtime, study_ids: list[int], form: Form, *, trying: bool = False
) -> list[Outcome]:
    values = {name: form.value(name) for name in _FIELDS}
    try:
        bodies = [
            TransferCreate.model_validate(
                values
                | {"study_id": one, "participant": values["participant"] or None}
                | {"confirmed": values["confirmed"] == "true"}
            )
            for one in study_ids
        ]
    except ValidationError as error:
        problem = complaints_of(error)
        return [ProblemError(422, problem.title, problem.errors) for _ in study_ids]
    return await request_all(person, runtime, bodies, trying=trying)


def _told(study_ids: list[int], outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as the page tells them."""
    told = []
    for study_id, outcome in zip(study_ids, outcomes, strict=True):
        against: list[str] = []
        if isinstance(outcome, ProblemError):
            against = [one.message for one in outcome.problem.errors] or [outcome.problem.title]
        made = None if isinstance(outcome, ProblemError) else outcome
        told.append({
            "study_id": study_id,
            "made": made,
            "against": against,
            "confirmable": bool(against) and set(against) <= CAN_BE_CONFIRMED,
        })  # fmt: skip
    return told


async def _form(
    request: Request,
    person: Person,
    runtime: Runtime,
    study_ids: list[int],
    form: Form,
    outcomes: list[Outcome] | None = None,
) -> HTMLResponse:
    studies = [await show(person, runtime, one) for one in dict.fromkeys(study_ids)]
    offered = await projects_of(person, runtime, Right.ASSIGN)
    code = str(form.value("project")) or (offered[0][0] if len(offered) == 1 else "")
    project = None
    if any(code == one for one, _ in offered):
        async with runtime.ledger.session() as session:
            project = await projects.get(session, code)
    if outcomes is None and project is not None:
        start = {"project": code, "event": only(project.events), "site": only(project.sites)}
        form = Form(start | {k: v for k, v in form.values.items() if v})
        ids = [one.id for one in studies]
        outcomes = await _requested(person, runtime, ids, form, trying=True)
    context = {
        "studies": studies,
        "found": await _previews(runtime, studies),
        "patients": patients_of(studies),
        "projects": offered,
        "project": _places(project),
        "form": form,
        "outcomes": outcomes and _told([one.id for one in studies], outcomes),
    }
    refused = request.method == "POST"
    return templates.TemplateResponse(
        request, "studies/choose.html", context, status_code=422 if refused else 200
    )


def _places(project: Project | None) -> dict[str, Any] | None:
    if project is None:
        return None
    return {
        "code": project.code,
        "pattern": project.participant_pattern or "",
        "events": project.events,
        "sites": project.sites,
    }


async def _previews(runtime: Runtime, studies: list[StudyRead]) -> dict[int, list[Any]]:
    """The first series of each study."""
    async with runtime.ledger.reading() as connection:
        return {
            one.id: (await series.list_page(connection, one.id, _MOST_PREVIEWS, None)).items
            for one in studies
        }
