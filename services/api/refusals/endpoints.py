"""`/refusals`: senders that were not let in."""

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.peers.schemas import PeerRead
from services.api.problems import responses
from services.api.refusals import service
from services.api.refusals.schemas import RefusalRead
from services.api.routes import resource

router = resource("/refusals", "refusals")


@router.get("", responses=responses(422))
async def list_refusals(
    runtime: RuntimeDep, limit: Limit = 50, after: After = None
) -> Page[RefusalRead]:
    """List whose associations were rejected, and why. Some 2,000 of them are kept."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, limit, after)


@router.post("/{refusal_id}/allow", status_code=201, responses=responses(404, 409, 422))
async def allow_refused(refusal_id: PathId, runtime: RuntimeDep) -> PeerRead:
    """Let a sender in from now on: it is entered as a peer, with its AE title and address."""
    async with runtime.ledger.session() as session:
        return PeerRead.model_validate(await service.allow(session, refusal_id))


@router.delete("/{refusal_id}", status_code=204, responses=responses(404, 422))
async def forget_refusal(refusal_id: PathId, runtime: RuntimeDep) -> None:
    """Take a refusal off the list."""
    async with runtime.ledger.transaction() as connection:
        await service.forget(connection, refusal_id)
