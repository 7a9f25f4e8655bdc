"""`/quarantine`: what arrived and could not be catalogued."""

from services.api.dependencies import RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.quarantine import service
from services.api.quarantine.schemas import QuarantineRead
from services.api.routes import resource

router = resource("/quarantine", "quarantine")


@router.get("", responses=responses(422))
async def list_quarantine(
    runtime: RuntimeDep, limit: Limit = 50, after: After = None
) -> Page[QuarantineRead]:
    """List files that are held because they could not be catalogued, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, limit, after)
