"""`/transfers`: studies on their way into projects."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.fields import Name, OptionalName, ProjectCode
from services.api.nudging import nudge, nudge_requested
from services.api.paging import After, Limit, Page
from services.api.problems import ProblemError, responses
from services.api.recalls import service as recalls
from services.api.rights.deciding import PersonDep
from services.api.rights.studies import may_identify, require_project
from services.api.routes import resource
from services.api.studies.days import Day
from services.api.transfers import life, series, service
from services.api.transfers.following import assigned_events
from services.api.transfers.requesting import request_all, undo
from services.api.transfers.schemas import (
    Corrected,
    DeliveryRead,
    TransferCorrection,
    TransferCreate,
    TransferRead,
)
from services.api.transfers.series import SeriesProgress
from shared.ledger.states import DeliveryState, TransferState
from shared.people import Right

router = resource("/transfers", "transfers")


@router.get("", responses=responses(422))
async def list_transfers(
    person: PersonDep,
    runtime: RuntimeDep,
    project: Annotated[ProjectCode | None, Query(description="Only this project's.")] = None,
    state: Annotated[TransferState | None, Query(description="Only those in this state.")] = None,
    participant: Annotated[
        Name | None, Query(description="Only those of the participants with this pseudonym.")
    ] = None,
    event: Annotated[OptionalName | None, Query(description="Only those of this event.")] = None,
    requested_from: Annotated[
        Day | None, Query(description="Only those requested on this day or later.")
    ] = None,
    requested_to: Annotated[
        Day | None, Query(description="Only those requested on this day or earlier.")
    ] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[TransferRead]:
    """List transfers with their counts, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection,
            project=project,
            state=state,
            participant=participant,
            event=event,
            requested_from=requested_from,
            requested_to=requested_to,
            within_projects=person.projects_with(Right.VIEW),
            limit=limit,
            after=after,
        )


@router.post("", status_code=201, responses=responses(409, 422))
async def request_transfer(
    body: TransferCreate, person: PersonDep, runtime: RuntimeDep
) -> TransferRead:
    """Take a study into a project: it is de-identified and delivered by itself."""
    (outcome,) = await request_all(person, runtime, [body])
    if isinstance(outcome, ProblemError):
        raise outcome
    return outcome


@router.get("/{transfer_id}", responses=responses(404, 422))
async def read_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Read one transfer: its state, its counts, and what troubles it."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)


@router.get("/{transfer_id}/deliveries", responses=responses(404, 422))
async def list_deliveries(
    transfer_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[DeliveryRead]:
    """List a transfer's instances, one by one."""
    async with runtime.ledger.reading() as connection:
        page = await service.deliveries(
            connection, transfer_id, state=state, limit=limit, after=after
        )
        if not await may_identify(person, connection, transfer_id):
            for one in page.items:
                one.sop_instance_uid = None  # with it the copy leads back to the original
        return page


@router.get("/{transfer_id}/series", responses=responses(404, 422))
async def list_transfer_series(
    transfer_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> list[SeriesProgress]:
    """List how far each series of a transfer is."""
    async with runtime.ledger.reading() as connection:
        described = await may_identify(person, connection, transfer_id)
        return await series.progress(connection, transfer_id, described=described)


@router.post("/{transfer_id}/retry", responses=responses(404, 409, 422))
async def retry_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Start the failed instances again once their cause is mended, and try the waiting ones now.

    Where everything is delivered, the research PACS is asked again, and gets what it does not have.
    """
    async with runtime.ledger.transaction() as connection:
        assigned = await service.retry(connection, transfer_id, runtime.settings.patience)
    await nudge(runtime, assigned_events(assigned))
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)


@router.post("/{transfer_id}/accept", responses=responses(404, 409, 422))
async def accept_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Take a transfer for complete whose images the research PACS does not show, or refuses to be
    asked about.
    """
    async with runtime.ledger.transaction() as connection:
        await life.accept_as_is(connection, transfer_id)
        return await service.get(connection, transfer_id)


@router.post("/{transfer_id}/cancel", responses=responses(404, 409, 422))
async def cancel_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Stop a transfer. What is delivered stays there, unlike with a recall."""
    async with runtime.ledger.transaction() as connection:
        await life.stop(connection, transfer_id)
        return await service.get(connection, transfer_id)


@router.post("/{transfer_id}/undo", responses=responses(404, 409, 422))
async def undo_transfer(
    transfer_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> TransferRead:
    """Take an assignment back that was a mistake, as long as nothing of it has been sent.

    What a rule or a coupling list took is undone by those who may correct.
    """
    await undo(person, runtime, transfer_id)
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)


@router.post("/{transfer_id}/recall", responses=responses(404, 409, 422))
async def recall_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Take a transfer back that should never have been. What was delivered is deleted, by Sluse or
    by hand (`/recalls`).
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.transaction() as connection:
        await life.take_back(connection, transfer_id, master_key)
        return await service.get(connection, transfer_id)


@router.post("/{transfer_id}/correct", status_code=201, responses=responses(404, 409, 422))
async def correct_transfer(
    transfer_id: PathId, body: TransferCorrection, person: PersonDep, runtime: RuntimeDep
) -> Corrected:
    """Take a transfer back that went to the wrong participant, event, site or project, and enter
    the right one.

    What was delivered is deleted, by Sluse or by hand (`/recalls`). The right transfer starts at
    once in another project; in the same one when the wrong copies, which have the same UIDs, are
    gone. When it is refused, nothing is taken back.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.transaction() as connection:
        if body.project is not None:
            await require_project(person, connection, Right.ASSIGN, body.project)
        made = await life.correct(connection, transfer_id, body, master_key)
        corrected = Corrected(
            transfer=await service.get(connection, made),
            recalls=await recalls.of_transfer(connection, transfer_id),
        )
    await nudge_requested(runtime, [made])
    return corrected
