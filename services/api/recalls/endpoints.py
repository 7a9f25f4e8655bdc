"""`/recalls`: releases that are to be deleted at their destinations."""

from typing import Annotated

from fastapi import Query

from services.api.dependencies import PathId, RuntimeDep
from services.api.nudging import nudge_requested
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.recalls import service
from services.api.recalls.schemas import RecalledInstance, RecallRead
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.transfers.following import assigned_events
from shared.ledger.states import RecallState
from shared.people import Right

router = resource("/recalls", "recalls")


@router.get("", responses=responses(422))
async def list_recalls(
    person: PersonDep,
    runtime: RuntimeDep,
    state: Annotated[RecallState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[RecallRead]:
    """List recalls, the newest first; those `by-hand` wait for a person."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(
            connection,
            state=state,
            within_projects=person.projects_with(Right.VIEW),
            limit=limit,
            after=after,
        )


@router.get("/{recall_id}", responses=responses(404, 422))
async def read_recall(recall_id: PathId, runtime: RuntimeDep) -> RecallRead:
    """Read one recall."""
    async with runtime.ledger.reading() as connection:
        return await service.get(connection, recall_id)


@router.get("/{recall_id}/instances", responses=responses(404, 422))
async def list_recalled_instances(
    recall_id: PathId, runtime: RuntimeDep, limit: Limit = 500, after: After = None
) -> Page[RecalledInstance]:
    """List the released SOP Instance UIDs that are to be deleted."""
    async with runtime.ledger.reading() as connection:
        return await service.instances(connection, recall_id, limit=limit, after=after)


@router.post("/{recall_id}/done", responses=responses(404, 409, 422))
async def note_recall_done(recall_id: PathId, runtime: RuntimeDep) -> RecallRead:
    """Say that the release is deleted; a transfer that waited for it starts."""
    async with runtime.ledger.transaction() as connection:
        waiting, assigned = await service.note_done(
            connection, recall_id, runtime.settings.patience
        )
        recall = await service.get(connection, recall_id)
    await nudge_requested(runtime, waiting, assigned_events(assigned))
    return recall
