"""Verifies transfers: whether a research PACS has what it said it has taken.

A transfer is `verifying` when everything is delivered and its destination answers queries. The
forwarder asks (`services.forwarder.verification`) and notes here what came of it. What is missing
is sent again by itself once; a person is asked after that.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, or_, select, update

from shared.clock import now
from shared.errors import Reason
from shared.ledger.database import Connection
from shared.ledger.starting import Assigned, resend
from shared.ledger.states import DeliveryState, Keeping, TransferState, WebhookEvent
from shared.ledger.tables import Delivery, Instance, Project, Release, Transfer, core
from shared.ledger.telling import tell_of_transfers

_transfer, _project = core(Transfer), core(Project)
_release, _delivery, _instance = core(Release), core(Delivery), core(Instance)

_LEASE = timedelta(minutes=5)
"""After that a look that was begun and not noted counts as lost."""


class Verifying(NamedTuple):
    """A transfer that is to be verified now."""

    id: int
    destination_id: int
    released_study_uid: str
    delivered: int
    attempts: int
    since: datetime
    """When everything was delivered."""


async def due(
    connection: Connection, limit: int, quiet: float, elsewhere: Collection[int] = ()
) -> list[Verifying]:
    """Transfers to verify now; each is due again in a while, should this look be lost.

    Parameters
    ----------
    quiet
        Seconds for which nothing must have been delivered.
    elsewhere
        Destinations to leave alone.
    """
    rows = await connection.execute(
        select(
            _transfer.c.id,
            _project.c.destination_id,
            _release.c.released_study_uid,
            _transfer.c.delivered,
            _transfer.c.verify_attempts,
            _transfer.c.changed_at,
        )
        .join_from(_transfer, _project)
        .join(
            _release,
            (_release.c.study_id == _transfer.c.study_id)
            & (_release.c.project_id == _transfer.c.project_id),
        )
        .where(
            _transfer.c.state == TransferState.VERIFYING,
            _transfer.c.verify_at <= now() - timedelta(seconds=quiet),
            or_(
                _project.c.destination_id.is_(None),
                _project.c.destination_id.not_in(list(elsewhere)),
            ),
        )
        .order_by(_transfer.c.verify_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=_transfer)
    )
    found = [Verifying(*row) for row in rows]
    if found:
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id.in_([one.id for one in found]))
            .values(verify_at=now() + _LEASE)
        )
    return found


async def delivered(connection: Connection, transfer_id: int) -> dict[str, int]:
    """The deliveries that a transfer's destination should have, by released SOP Instance UID."""
    rows = await connection.execute(
        select(_delivery.c.released_sop_uid, _delivery.c.id).where(
            _delivery.c.transfer_id == transfer_id, _delivery.c.state == DeliveryState.FORWARDED
        )
    )
    return {row.released_sop_uid: row.id for row in rows}


async def verified(connection: Connection, one: Verifying, *, asked: bool = True) -> None:
    """Everything is there, or nobody wants to know; unless more was delivered meanwhile.

    Parameters
    ----------
    asked
        The destination has said so.
    """
    changed = await connection.scalars(
        update(_transfer)
        .where(_is_still(one))
        .values(
            state=TransferState.COMPLETE,
            changed_at=now(),
            verified_at=now() if asked else None,
            verify_at=None,
            missing=0,
            reason=None,
            detail="",
        )
        .returning(_transfer.c.id)
    )
    await tell_of_transfers(connection, WebhookEvent.TRANSFER_COMPLETE, list(changed))


async def postpone(
    connection: Connection, one: Verifying, delay: float, reason: Reason, detail: str
) -> None:
    """It could not be asked: try again in `delay` seconds."""
    await connection.execute(
        update(_transfer)
        .where(_is_still(one))
        .values(
            verify_at=now() + timedelta(seconds=delay),
            verify_attempts=_transfer.c.verify_attempts + 1,
            reason=reason,
            detail=detail[:200],
        )
    )


async def needs_attention(
    connection: Connection, one: Verifying, reason: Reason, *, missing: int = 0, detail: str = ""
) -> None:
    """A person must decide."""
    changed = await connection.scalars(
        update(_transfer)
        .where(_is_still(one))
        .values(
            state=TransferState.ATTENTION,
            changed_at=now(),
            verify_at=None,
            missing=missing,
            reason=reason,
            detail=detail[:200],
        )
        .returning(_transfer.c.id)
    )
    await tell_of_transfers(connection, WebhookEvent.TRANSFER_ATTENTION, list(changed))


async def send_missing(
    connection: Connection, one: Verifying, delivery_ids: Collection[int], *, patience: float
) -> Assigned:
    """Send what is missing again, the first time; a person is asked the second time."""
    locked = await connection.execute(select(_transfer.c.resent_at).where(_is_still(one)))
    row = locked.first()
    if row is None:
        return []
    gone = await _lack_originals(connection, delivery_ids)
    if gone or row.resent_at is not None:
        await _mark(connection, delivery_ids)  # deliveries before transfers, as everywhere
        reason = Reason.ORIGINAL_EVICTED if gone else Reason.MISSING_THERE
        await needs_attention(connection, one, reason, missing=len(delivery_ids))
        return []
    assigned = await resend(connection, delivery_ids, patience=patience)
    if assigned:
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id == one.id)
            .values(resent_at=now(), missing=len(delivery_ids), reason=Reason.MISSING_THERE)
        )
    return assigned


async def _lack_originals(connection: Connection, delivery_ids: Collection[int]) -> bool:
    """Whether an original of these was removed in its time: they can't be sent again."""
    found = await connection.scalar(
        select(_delivery.c.id)
        .join_from(_delivery, _instance)
        .where(_delivery.c.id.in_(list(delivery_ids)), _instance.c.keeping != Keeping.HERE)
        .limit(1)
    )
    return found is not None


async def _mark(connection: Connection, delivery_ids: Collection[int]) -> None:
    """Say of images that they are missing, until they are sent again."""
    await connection.execute(
        update(_delivery)
        .where(_delivery.c.id.in_(list(delivery_ids)), _delivery.c.state == DeliveryState.FORWARDED)
        .values(reason=Reason.MISSING_THERE)
    )


async def verify_again(connection: Connection, transfer_id: int) -> bool:
    """A person wants it verified now, and what is missing sent again. Whether it could be."""
    return await _decide(
        connection,
        transfer_id,
        TransferState.VERIFYING,
        verify_at=now(),
        verify_attempts=0,
        resent_at=None,
    )


async def accept(connection: Connection, transfer_id: int) -> bool:
    """A person takes it for complete as it is. Whether it could be."""
    accepted = await _decide(connection, transfer_id, TransferState.COMPLETE, verify_at=None)
    if accepted:
        await tell_of_transfers(connection, WebhookEvent.TRANSFER_COMPLETE, [transfer_id])
    return accepted


async def _decide(
    connection: Connection, transfer_id: int, state: TransferState, **values: Any
) -> bool:
    """Everything was delivered, and only whether it is there is in question."""
    result = await connection.execute(
        update(_transfer)
        .where(
            _transfer.c.id == transfer_id,
            _transfer.c.state.in_([TransferState.ATTENTION, TransferState.VERIFYING]),
            _transfer.c.held + _transfer.c.failed + _transfer.c.in_flight == 0,
        )
        .values(state=state, changed_at=now(), reason=None, detail="", **values)
    )
    return result.rowcount > 0


def _is_still(one: Verifying) -> ColumnElement[bool]:
    """Whether a transfer is as it was when it was looked up."""
    return (
        (_transfer.c.id == one.id)
        & (_transfer.c.state == TransferState.VERIFYING)
        & (_transfer.c.delivered == one.delivered)
    )
