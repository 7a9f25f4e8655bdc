"""`/transfers`: studies on their way into projects."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.fields import ProjectCode
from services.api.nudging import nudge
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.transfers import service
from services.api.transfers.schemas import DeliveryRead, TransferCreate, TransferRead
from shared.events import InstanceAssigned, TransferRequested
from shared.ledger.states import DeliveryState, TransferState

router = APIRouter(prefix="/transfers", tags=["transfers"])


@router.get("", responses=responses(422))
async def list_transfers(
    runtime: RuntimeDep,
    project: Annotated[ProjectCode | None, Query(description="Only this project's.")] = None,
    state: Annotated[TransferState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[TransferRead]:
    """List transfers with their counts, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection, project=project, state=state, limit=limit, after=after
        )


@router.post("", status_code=201, responses=responses(409, 422))
async def request_transfer(body: TransferCreate, runtime: RuntimeDep) -> TransferRead:
    """Take a study into a project: it is de-identified and delivered by itself."""
    async with runtime.ledger.transaction() as connection:
        transfer_id = await service.request(connection, body)
    await nudge(runtime, [TransferRequested(transfer_id=transfer_id)])
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)


@router.get("/{transfer_id}", responses=responses(404, 422))
async def read_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Read one transfer: its state, its counts, and what troubles it."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)


@router.get("/{transfer_id}/deliveries", responses=responses(404, 422))
async def list_deliveries(
    transfer_id: PathId,
    runtime: RuntimeDep,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[DeliveryRead]:
    """List a transfer's instances, one by one."""
    async with runtime.ledger.reading() as connection:
        return await service.deliveries(
            connection, transfer_id, state=state, limit=limit, after=after
        )


@router.post("/{transfer_id}/retry", responses=responses(404, 422))
async def retry_transfer(transfer_id: PathId, runtime: RuntimeDep) -> TransferRead:
    """Start the failed instances again once their cause is mended, and try the waiting ones now."""
    async with runtime.ledger.transaction() as connection:
        assigned = await service.retry(connection, transfer_id, runtime.settings.patience)
    await nudge(
        runtime,
        [
            InstanceAssigned(transfer_id=transfer, series_id=series, delivery_ids=tuple(ids))
            for transfer, series, ids in assigned
        ],
    )
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, transfer_id)
