"""`/destinations`: the research PACS that projects deliver to."""

from services.api.dependencies import PathId, RuntimeDep
from services.api.destinations import service
from services.api.destinations.schemas import DestinationRead, DestinationWrite, Echo
from services.api.destinations.trying import try_out
from services.api.problems import responses
from services.api.routes import resource
from services.api.versions import IfMatch, require_version
from shared.ledger.deliveries import hurry

router = resource("/destinations", "destinations")


@router.get("")
async def list_destinations(runtime: RuntimeDep) -> list[DestinationRead]:
    """List all destinations."""
    async with runtime.ledger.session() as session:
        rows = await service.every(session)
        return [DestinationRead.model_validate(row) for row in rows]


@router.post("", status_code=201, responses=responses(409, 422))
async def create_destination(body: DestinationWrite, runtime: RuntimeDep) -> DestinationRead:
    """Enter a research PACS."""
    async with runtime.ledger.session() as session:
        return DestinationRead.model_validate(await service.write(session, body))


@router.get("/{destination_id}", responses=responses(404, 422))
async def read_destination(destination_id: PathId, runtime: RuntimeDep) -> DestinationRead:
    """Read one destination."""
    async with runtime.ledger.session() as session:
        return DestinationRead.model_validate(await service.get(session, destination_id))


@router.post("/{destination_id}/echo", responses=responses(404, 422))
async def echo_destination(destination_id: PathId, runtime: RuntimeDep) -> Echo:
    """Try whether a destination answers (C-ECHO, or a search over DICOMweb)."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, destination_id)
    return await try_out(runtime.settings, row)


@router.put("/{destination_id}", responses=responses(404, 409, 412, 422))
async def change_destination(
    destination_id: PathId, body: DestinationWrite, runtime: RuntimeDep, if_match: IfMatch = None
) -> DestinationRead:
    """Change a destination; images waiting for it go to the new address within a minute."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, destination_id, lock=True)
        require_version(if_match, DestinationRead.model_validate(row))
        changed = DestinationRead.model_validate(await service.write(session, body, row))
    async with runtime.ledger.transaction() as connection:
        await hurry(connection, destination_id=destination_id)
    return changed
