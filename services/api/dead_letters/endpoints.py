"""`/dead-letters`: messages that nobody could handle."""

from fastapi import APIRouter

from services.api.dead_letters import service
from services.api.dead_letters.schemas import DeadLetterRead
from services.api.dependencies import RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])


@router.get("", responses=responses(422))
async def list_dead_letters(
    runtime: RuntimeDep, limit: Limit = 50, after: After = None
) -> Page[DeadLetterRead]:
    """List dead letters, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, limit, after)
