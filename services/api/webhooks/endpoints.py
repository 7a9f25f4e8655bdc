"""`/webhooks`: whom Sluse tells of what happens."""

from fastapi import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.versions import IfMatch, require_version
from services.api.webhooks import service
from services.api.webhooks.schemas import (
    WebhookChange,
    WebhookCreate,
    WebhookDeliveryRead,
    WebhookMade,
    WebhookRead,
)

router = resource("/webhooks", "webhooks")


@router.get("")
async def list_webhooks(person: PersonDep, runtime: RuntimeDep) -> list[WebhookRead]:
    """List the webhooks of one's projects; administrators see all."""
    async with runtime.ledger.session() as session:
        return await service.every(session, person)


@router.post("", status_code=201, responses=responses(422))
async def create_webhook(
    body: WebhookCreate, person: PersonDep, runtime: RuntimeDep
) -> WebhookMade:
    """Have another system told of events. Owners do so for their project, administrators for the
    whole system.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        return await service.create(session, person, body, runtime.settings, master_key)


@router.get("/{webhook_id}", responses=responses(404, 422))
async def read_webhook(webhook_id: PathId, person: PersonDep, runtime: RuntimeDep) -> WebhookRead:
    """Read one webhook."""
    async with runtime.ledger.session() as session:
        return await service.read(session, await service.get(session, person, webhook_id))


@router.patch("/{webhook_id}", responses=responses(404, 412, 422))
async def change_webhook(
    webhook_id: PathId,
    body: WebhookChange,
    person: PersonDep,
    runtime: RuntimeDep,
    if_match: IfMatch = None,
) -> WebhookRead:
    """Change a webhook, or switch it on or off."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, person, webhook_id, lock=True)
        require_version(if_match, await service.read(session, row))
        return await service.change(session, row, body, runtime.settings)


@router.delete("/{webhook_id}", status_code=204, responses=responses(404, 422))
async def remove_webhook(webhook_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Remove a webhook; it is told nothing any more."""
    async with runtime.ledger.session() as session:
        await service.remove(session, await service.get(session, person, webhook_id))
    return Response(status_code=204)


@router.get("/{webhook_id}/deliveries", responses=responses(404, 422))
async def list_webhook_deliveries(
    webhook_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    limit: Limit = 50,
    after: After = None,
) -> Page[WebhookDeliveryRead]:
    """List what a webhook was told in the last two weeks, the newest first."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, person, webhook_id)
        return await service.deliveries(session, row, limit, after)


@router.post("/{webhook_id}/test", responses=responses(404, 422))
async def test_webhook(
    webhook_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> WebhookDeliveryRead:
    """Send a webhook something now, once, and say what came of it."""
    async with runtime.ledger.session() as session:
        row = await service.get(session, person, webhook_id)
    return await service.test(runtime, row)
