"""Notes what webhooks are to be told, in the transaction of what it tells of: so nothing is lost,
and nothing is told that did not happen. The api sends it (`services.api.webhooks`).
"""

import json
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import WebhookDeliveryState, WebhookEvent
from shared.ledger.tables import Project, Study, Transfer, Webhook, WebhookDelivery, core

_webhook, _delivery = core(Webhook), core(WebhookDelivery)
_transfer, _project, _study = core(Transfer), core(Project), core(Study)


async def tell_of_transfers(
    connection: Connection, event: WebhookEvent, transfer_ids: Collection[int]
) -> None:
    """Note for every webhook that wants to know that transfers have changed their state."""
    if not transfer_ids:
        return
    theirs = select(_transfer.c.project_id).where(_transfer.c.id.in_(list(transfer_ids)))
    hooks = await _who_wants(
        connection, event, or_(_webhook.c.project_id.is_(None), _webhook.c.project_id.in_(theirs))
    )
    if not hooks:
        return
    transfers = await connection.execute(
        select(_transfer, _project.c.code)
        .join_from(_transfer, _project)
        .where(_transfer.c.id.in_(list(transfer_ids)))
        .order_by(_transfer.c.id)
    )
    entries = []
    for one in transfers:
        about = {
            "id": one.id,
            "study_id": one.study_id,
            "project": one.code,
            "state": one.state,
            "delivered": one.delivered,
            "held": one.held,
            "failed": one.failed,
            "missing": one.missing,
            "reason": one.reason,
        }
        told = [hook.id for hook in hooks if hook.project_id in (None, one.project_id)]
        entries += rows(event, {"transfer": about}, told)
    if entries:
        await connection.execute(insert(_delivery), entries)


async def tell_of_settled(connection: Connection, study_ids: Collection[int]) -> None:
    """Note for every webhook of the whole system that studies have settled."""
    if not study_ids:
        return
    event = WebhookEvent.STUDY_SETTLED
    hooks = await _who_wants(connection, event, _webhook.c.project_id.is_(None))
    if not hooks:
        return
    studies = await connection.execute(
        select(_study.c.id, _study.c.series, _study.c.instances)
        .where(_study.c.id.in_(list(study_ids)))
        .order_by(_study.c.id)
    )
    entries = [
        row
        for one in studies.mappings()
        for row in rows(event, {"study": dict(one)}, [hook.id for hook in hooks])
    ]
    await connection.execute(insert(_delivery), entries)


def rows(event: str, about: dict[str, Any], webhook_ids: Iterable[int]) -> list[dict[str, Any]]:
    """Rows of `webhook_delivery` that tell these webhooks of one event."""
    event_id, moment = str(uuid.uuid4()), now()
    body = _body(event_id, event, moment, about)
    return [
        {
            "webhook_id": webhook_id,
            "event_id": event_id,
            "event": event,
            "body": body,
            "state": WebhookDeliveryState.WAITING,
            "attempts": 0,
            "due_at": moment,
            "detail": "",
            "created_at": moment,
        }
        for webhook_id in webhook_ids
    ]


def _body(event_id: str, event: str, moment: datetime, about: dict[str, Any]) -> str:
    head = {"id": event_id, "type": event, "time": moment.isoformat(timespec="milliseconds")}
    return json.dumps(head | about)


async def _who_wants(connection: Connection, event: WebhookEvent, which: Any) -> list[Any]:
    """The webhooks to tell. Kept from being removed until this transaction ends, which nothing but
    their removal waits for.
    """
    found = await connection.execute(
        select(_webhook.c.id, _webhook.c.project_id, _webhook.c.events)
        .where(_webhook.c.enabled, which)
        .order_by(_webhook.c.id)
        .with_for_update(read=True, key_share=True)
    )
    return [row for row in found if event in row.events]
