"""The pages of a preview: which image, and then that image before and after.

They show originals: only to who may see who the participants are, and each showing is audited.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.profile_previews import service
from services.api.profile_previews.schemas import PreviewCreate
from services.api.profiles.drafts import Draft
from services.api.profiles.saving import seen_as
from services.api.projects.endpoints import Code
from services.api.projects.schemas import ProjectRead
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import note_shown
from services.api.series import service as series
from services.api.series.schemas import SeriesRead
from services.api.transfers import service as transfers
from services.api.transfers.schemas import TransferRead
from services.api.web.forms import Form, entered
from services.api.web.profile.edit import TYPED, sent_draft
from services.api.web.profile.show import Look, draft_of, profile_page, show_of
from services.api.web.profile.words import EFFECTS, WHYS
from services.api.web.projects.room import in_room, seen_project
from shared.clock import now
from shared.ledger.states import ENDED
from shared.people import Right
from shared.previewing import Compared, Effect
from shared.runtime import Runtime

_MOST_STUDIES, _MOST_SERIES = 50, 100
_SLOW, _LOST = timedelta(seconds=15), timedelta(minutes=10)
"""After which the page says that nothing answers, and after which it asks no more by itself."""


async def choose_preview(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """On which image of the project its profile is to be tried."""
    project = await seen_project(runtime, person, code)
    draft, seen = draft_of(project), seen_as(project.profile)
    return await _choose(request, runtime, person, project, draft, seen, Form())


async def prepare_preview(
    request: Request, code: Code, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """The same with what was changed and is not saved; or ask for the preview."""
    project = await seen_project(runtime, person, code)
    sent = entered(await request.form(), lists=("options",), as_they_are=TYPED)
    form = Form(sent)
    draft, seen = draft_of(project), seen_as(project.profile)
    try:
        if person.may(Right.MANAGE, project.id):
            draft, seen = sent_draft(project, sent)
            draft.apply(sent)
        if not draft.table.is_sound:
            look = Look(str(sent.get("text", "")), show_of(str(sent.get("show", ""))))
            return profile_page(request, person, project, draft, seen, look, 422)
        if sent.get("press") == "show":
            body = PreviewCreate.model_validate(
                {
                    "study_id": sent.get("study_id"),
                    "series_id": sent.get("series_id"),
                    "profile": draft.text,
                }
            )
            made = await service.create(runtime, person, code, body, seen=seen)
            return RedirectResponse(f"/projects/{code}/profile/preview/{made}", status_code=303)
    except (ProblemError, ValidationError) as error:
        refused = form.refused(error)
        return await _choose(request, runtime, person, project, draft, seen, refused, status=422)
    return await _choose(request, runtime, person, project, draft, seen, form)


async def show_profile_preview(
    request: Request, code: Code, preview_id: PathId, person: PersonDep, runtime: RuntimeDep,
    everything: Annotated[bool, Query()] = False,
) -> HTMLResponse:  # fmt: skip
    """The image before and after; until then the page asks again by itself."""
    project = await seen_project(runtime, person, code)
    row = await service.find(runtime, person, code, preview_id)
    preview = await service.show(runtime, person, code, preview_id)
    async with runtime.ledger.reading() as connection:
        transfer = await transfers.get(connection, row.transfer_id)
        about = await series.get(connection, row.series_id)
    waited = now() - preview.asked_at
    changed, others = _parted(preview.comparison.elements if preview.comparison else ())
    context = {
        "p": preview,
        "t": transfer,
        "series": about,
        "draft": row.profile,
        "seen": row.seen,
        "is_changed": row.profile != project.profile,
        "changed": changed,
        "others": others,
        "everything": everything,
        "is_slow": waited > _SLOW,
        "is_lost": waited > _LOST,
        "effects": EFFECTS,
        "whys": WHYS,
    }
    return in_room(request, "preview.html", project, person, context, folder="profile")


def _parted(elements: Sequence[Compared]) -> tuple[list[Compared], list[Compared]]:
    """Those that are changed with what they hold, and the others."""
    changed: list[Compared] = []
    others: list[Compared] = []
    group = others
    for one in elements:
        if not one.depth:
            group = others if one.effect is Effect.KEPT else changed
        group.append(one)
    return changed, others


async def _choose(
    request: Request,
    runtime: Runtime,
    person: Person,
    project: ProjectRead,
    draft: Draft,
    seen: str,
    form: Form,
    *,
    status: int = 200,
) -> HTMLResponse:
    studies, parts = await _offered(runtime, project, form)
    # What scanners write into descriptions may name the patient.
    await note_shown(person, runtime, [parts[0].study_id] if parts else [])
    values = dict(form.values)
    if studies and not any(str(one.study_id) == values.get("study_id") for one in studies):
        values["study_id"] = str(studies[0].study_id)
    if parts and not any(str(one.id) == values.get("series_id") for one in parts):
        values["series_id"] = str(parts[0].id)
    context: dict[str, Any] = {
        "form": Form(values, form.complaints, form.title),
        "studies": studies,
        "series": parts,
        "draft": draft.text,
        "seen": seen,
        "is_changed": draft.text != draft_of(project).text,
        "participant": values.get("participant", ""),
    }
    return in_room(request, "choose.html", project, person, context, status, folder="profile")


async def _offered(
    runtime: Runtime, project: ProjectRead, form: Form
) -> tuple[list[TransferRead], list[SeriesRead]]:
    """The newest studies of the project, and the series of the chosen one, or of the newest."""
    async with runtime.ledger.reading() as connection:
        page = await transfers.list_page(
            connection,
            project=project.code,
            participant=str(form.value("participant"))[:64] or None,
            limit=_MOST_STUDIES,
            after=None,
        )
        studies = [one for one in page.items if one.state not in ENDED]
        if not studies:
            return [], []
        wanted = next(
            (one for one in studies if str(one.study_id) == form.value("study_id")), studies[0]
        )
        found = await series.list_page(connection, wanted.study_id, _MOST_SERIES, None)
    return studies, found.items
