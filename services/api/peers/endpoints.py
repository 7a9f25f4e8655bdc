"""`/peers`: the senders that are let in."""

from services.api.dependencies import PathId, RuntimeDep
from services.api.peers import service
from services.api.peers.schemas import PeerRead, PeerWrite
from services.api.problems import responses
from services.api.routes import resource
from services.api.versions import IfMatch, require_version

router = resource("/peers", "peers")


@router.get("")
async def list_peers(runtime: RuntimeDep) -> list[PeerRead]:
    """List the senders that were entered. With `SLUSE_PEERS=listed` nobody else is let in."""
    async with runtime.ledger.session() as session:
        return [PeerRead.model_validate(row) for row in await service.every(session)]


@router.post("", status_code=201, responses=responses(409, 422))
async def create_peer(body: PeerWrite, runtime: RuntimeDep) -> PeerRead:
    """Enter a sender; it counts within a second."""
    async with runtime.ledger.session() as session:
        return PeerRead.model_validate(await service.write(session, body))


@router.get("/{peer_id}", responses=responses(404, 422))
async def read_peer(peer_id: PathId, runtime: RuntimeDep) -> PeerRead:
    """Read one sender."""
    async with runtime.ledger.session() as session:
        return PeerRead.model_validate(await service.get(session, peer_id))


@router.put("/{peer_id}", responses=responses(404, 409, 412, 422))
async def change_peer(
    peer_id: PathId, body: PeerWrite, runtime: RuntimeDep, if_match: IfMatch = None
) -> PeerRead:
    """Change a sender, or switch it off."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, peer_id, lock=True)
        require_version(if_match, PeerRead.model_validate(row))
        return PeerRead.model_validate(await service.write(session, body, row))


@router.delete("/{peer_id}", status_code=204, responses=responses(404, 422))
async def remove_peer(peer_id: PathId, runtime: RuntimeDep) -> None:
    """Remove a sender."""
    async with runtime.ledger.session() as session:
        await service.remove(session, peer_id)
