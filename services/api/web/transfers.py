"""The pages of the transfers: a list, one with series and images, and what people do to it."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.nudging import nudge, nudge_requested
from services.api.paging import After
from services.api.problems import ProblemError, rule_broken
from services.api.projects import service as projects
from services.api.recalls import service as recalls
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import may_identify, require_project
from services.api.studies.days import Day
from services.api.transfers import life, series, service
from services.api.transfers.following import assigned_events
from services.api.transfers.schemas import TransferCorrection
from services.api.web.forms import Form, entered
from services.api.web.studies import projects_of
from services.api.web.templating import templates
from services.api.web.words import IMAGES, TROUBLES, WAYS
from shared.ledger.states import DeliveryState, TransferState
from shared.people import Right
from shared.runtime import Runtime

_SHOWN = 50
_SHOWN_IMAGES = 100
_CORRECTED = ("project", "participant", "event", "site")


_Left = BeforeValidator(lambda text: text or None)
"""What a form sends of a field that is left empty."""


class TransferWish(BaseModel):
    """What the list is to show, as its form sends it: what is left empty is not asked."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    project: Annotated[str | None, _Left] = None
    state: Annotated[TransferState | None, _Left] = None
    participant: Annotated[str | None, _Left] = None
    event: Annotated[str | None, _Left] = None
    requested_from: Annotated[Day | None, _Left] = None
    requested_to: Annotated[Day | None, _Left] = None
    after: After = None


Wish = Annotated[TransferWish, Query()]


async def show_transfers(
    request: Request, wish: Wish, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """The transfers, the newest first."""
    async with runtime.ledger.reading() as connection:
        page = await service.list_page(
            connection,
            **wish.model_dump(exclude={"after"}),
            within_projects=person.projects_with(Right.VIEW),
            limit=_SHOWN,
            after=wish.after,
        )
    context = {
        "page": page,
        "wish": wish,
        "projects": await projects_of(person, runtime, Right.VIEW),
        "states": [one.value for one in TransferState],
        "troubles": TROUBLES,
    }
    return templates.TemplateResponse(request, "transfers/list.html", context)


async def show_transfer(
    request: Request, transfer_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """One transfer: how far it is, series by series, and what troubles it."""
    return await _page(request, transfer_id, person, runtime, Form())


async def show_deliveries(
    request: Request,
    transfer_id: PathId,
    runtime: RuntimeDep,
    state: Annotated[str, Query(max_length=16)] = "",
    after: After = None,
) -> HTMLResponse:
    """A transfer's images, one by one."""
    if state and state not in set(DeliveryState):
        raise rule_broken("state", "There is no such state.")
    async with runtime.ledger.reading() as connection:
        page = await service.deliveries(
            connection, transfer_id, state=DeliveryState(state) if state else None,
            limit=_SHOWN_IMAGES, after=after,
        )  # fmt: skip
        found = await service.get(connection, transfer_id)
    context = {"t": found, "page": page, "state": state, "images": IMAGES}
    return templates.TemplateResponse(request, "transfers/images.html", context)


async def press_retry(transfer_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Start what failed again."""
    async with runtime.ledger.transaction() as connection:
        assigned = await service.retry(connection, transfer_id, runtime.settings.patience)
    await nudge(runtime, assigned_events(assigned))
    return _back(transfer_id)


async def press_accept(transfer_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Take it for complete."""
    async with runtime.ledger.transaction() as connection:
        await life.accept_as_is(connection, transfer_id)
    return _back(transfer_id)


async def press_cancel(transfer_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Stop it."""
    async with runtime.ledger.transaction() as connection:
        await life.stop(connection, transfer_id)
    return _back(transfer_id)


async def press_recall(transfer_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Take it back, with what was delivered."""
    master_key = await runtime.load_master_key()
    async with runtime.ledger.transaction() as connection:
        await life.take_back(connection, transfer_id, master_key)
    return _back(transfer_id)


async def press_deleted(recall_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Note that a person has deleted it at the research PACS."""
    async with runtime.ledger.transaction() as connection:
        waiting, assigned = await recalls.note_done(
            connection, recall_id, runtime.settings.patience
        )
        transfer_id = (await recalls.get(connection, recall_id)).transfer_id
    await nudge_requested(runtime, waiting, assigned_events(assigned))
    return _back(transfer_id)


async def press_correct(
    request: Request, transfer_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Take it back and enter the right one, or say what stands against it."""
    values = entered(await request.form())
    form = Form(values)
    master_key = await runtime.load_master_key()
    try:
        async with runtime.ledger.transaction() as connection:
            before = await service.get(connection, transfer_id)
            given = {name: values[name] for name in _CORRECTED if name in values}
            if given.get("project", before.project) != before.project:
                # All that is shown counts there, though it may be called the same here.
                changed = {name: text for name, text in given.items() if text}
                await require_project(person, connection, Right.ASSIGN, given["project"])
            else:
                changed = {n: text for n, text in given.items() if text != getattr(before, n)}
            body = TransferCorrection.model_validate(
                changed | {"confirmed": values.get("confirmed") == "true"}
            )
            made = await life.correct(connection, transfer_id, body, master_key)
    except (ProblemError, ValidationError) as error:
        return await _page(request, transfer_id, person, runtime, form.refused(error))
    await nudge_requested(runtime, [made])
    return _back(made)


async def _page(
    request: Request, transfer_id: int, person: Person, runtime: Runtime, form: Form
) -> HTMLResponse:
    async with runtime.ledger.reading() as connection:
        found = await service.get(connection, transfer_id)
        described = await may_identify(person, connection, transfer_id)
        parts = await series.progress(connection, transfer_id, described=described)
        taken_back = await recalls.of_transfer(connection, transfer_id)
    async with runtime.ledger.session() as session:
        project = await projects.get(session, found.project)
    may = {right.value: person.may(right, project.id) for right in Right}
    if not form.values:
        form = Form({name: getattr(found, name) for name in _CORRECTED})
    context = {
        "t": found,
        "series": parts,
        "recalls": taken_back,
        "project": project,
        "may": may,
        "form": form,
        "projects": await projects_of(person, runtime, Right.ASSIGN),
        "troubles": TROUBLES,
        "ways": WAYS,
    }
    return templates.TemplateResponse(
        request, "transfers/transfer.html", context, status_code=422 if form.title else 200
    )


def _back(transfer_id: int) -> RedirectResponse:
    return RedirectResponse(f"/transfers/{transfer_id}", status_code=303)
