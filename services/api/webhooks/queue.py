"""What webhooks are still to be told, as the ledger has it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, update

from shared.clock import now
from shared.ledger import Connection
from shared.ledger.states import WebhookDeliveryState
from shared.ledger.tables import Webhook, WebhookDelivery, core

_webhook, _delivery = core(Webhook), core(WebhookDelivery)

LEASE = timedelta(minutes=5)
"""After that what was taken and not noted counts as not sent."""
PATIENCE = timedelta(days=1)
"""How long it is tried."""
_KEPT = timedelta(days=14)
_waiting = _delivery.c.state == WebhookDeliveryState.WAITING


class Hook(NamedTuple):
    """Where to send, and what signs."""

    id: int
    url: str
    secret: str
    project_id: int | None


class Due(NamedTuple):
    """What is to be sent."""

    id: int
    event: str
    body: str
    attempts: int
    created_at: datetime


async def webhooks_due(connection: Connection, but: Collection[int], limit: int) -> list[int]:
    """Webhooks that have something to be told now, whoever has waited longest first."""
    found = await connection.scalars(
        select(_delivery.c.webhook_id)
        .join_from(_delivery, _webhook)
        .where(
            _waiting,
            _delivery.c.due_at <= now(),
            _webhook.c.enabled,
            _delivery.c.webhook_id.not_in(list(but)),
        )
        .group_by(_delivery.c.webhook_id)
        .order_by(func.min(_delivery.c.due_at))
        .limit(limit)
    )
    return list(found)


async def claim(
    connection: Connection, webhook_id: int, limit: int
) -> tuple[Hook | None, list[Due]]:
    """Take the first of what is due, so that no other replica does; it is due again in a while."""
    hook = (
        await connection.execute(
            select(_webhook.c.id, _webhook.c.url, _webhook.c.secret, _webhook.c.project_id).where(
                _webhook.c.id == webhook_id, _webhook.c.enabled
            )
        )
    ).first()
    if hook is None:
        return None, []
    rows = await connection.execute(
        select(
            _delivery.c.id,
            _delivery.c.event,
            _delivery.c.body,
            _delivery.c.attempts,
            _delivery.c.created_at,
        )
        .where(_waiting, _delivery.c.webhook_id == webhook_id, _delivery.c.due_at <= now())
        .order_by(_delivery.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    found = [Due(*row) for row in rows]
    if found:
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id.in_([one.id for one in found]))
            .values(due_at=now() + LEASE)
        )
    return Hook(*hook), found


async def taken(connection: Connection, delivery_id: int, status: int | None) -> None:
    """The other system has it."""
    await _end(connection, delivery_id, WebhookDeliveryState.DELIVERED, status, "")


async def give_up(
    connection: Connection, delivery_id: int, status: int | None, detail: str
) -> None:
    """It is not tried again."""
    await _end(connection, delivery_id, WebhookDeliveryState.GIVEN_UP, status, detail)


async def _end(
    connection: Connection,
    delivery_id: int,
    state: WebhookDeliveryState,
    status: int | None,
    detail: str,
) -> None:
    await connection.execute(
        update(_delivery)
        .where(_delivery.c.id == delivery_id, _waiting)
        .values(
            state=state,
            attempts=_delivery.c.attempts + 1,
            status=status,
            detail=detail[:200],
            ended_at=now(),
        )
    )


async def postpone(
    connection: Connection, delivery_id: int, status: int | None, detail: str, delay: float
) -> None:
    """Try it again in `delay` seconds."""
    await connection.execute(
        update(_delivery)
        .where(_delivery.c.id == delivery_id, _waiting)
        .values(
            attempts=_delivery.c.attempts + 1,
            status=status,
            detail=detail[:200],
            due_at=now() + timedelta(seconds=delay),
        )
    )


async def put_back(connection: Connection, delivery_ids: Collection[int], delay: float) -> None:
    """These were taken and not tried."""
    if delivery_ids:
        await connection.execute(
            update(_delivery)
            .where(_delivery.c.id.in_(list(delivery_ids)), _waiting)
            .values(due_at=now() + timedelta(seconds=delay))
        )


async def give_up_all(
    connection: Connection, webhook_id: int, detail: str, *, older: timedelta = timedelta(0)
) -> int:
    """Try nothing again that a webhook was to be told longer ago than that; how many these were."""
    result = await connection.execute(
        update(_delivery)
        .where(
            _delivery.c.webhook_id == webhook_id, _waiting, _delivery.c.created_at <= now() - older
        )
        .values(state=WebhookDeliveryState.GIVEN_UP, detail=detail[:200], ended_at=now())
    )
    return result.rowcount


async def forget(connection: Connection) -> None:
    """Keep no record of what was long ago."""
    await connection.execute(delete(_delivery).where(_delivery.c.created_at < now() - _KEPT))
