"""Our requests for storage commitment: what research PACS were asked to keep, and what they said.

The forwarder asks, and looks here for the answer; it may reach the forwarder on the association
that asked, or the receiver on another one.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import Delivery, Inquiry, Instance, Transfer, core

_inquiry, _transfer = core(Inquiry), core(Transfer)
_delivery, _instance = core(Delivery), core(Instance)


class Asked(NamedTuple):
    """What was asked of a transfer, as it is now."""

    since: datetime
    safe: set[str] | None
    """The SOP Instance UIDs that the PACS keeps; None until everything is answered."""


async def references(connection: Connection, transfer_id: int) -> list[tuple[str, str]]:
    """SOP Class UID and released SOP Instance UID of what a transfer has delivered."""
    rows = await connection.execute(
        select(_instance.c.sop_class_uid, _delivery.c.released_sop_uid)
        .join_from(_delivery, _instance)
        .where(_delivery.c.transfer_id == transfer_id, _delivery.c.state == DeliveryState.FORWARDED)
        .order_by(_delivery.c.id)
    )
    return [(row.sop_class_uid, row.released_sop_uid) for row in rows]


async def enter(
    connection: Connection, transfer_id: int, delivered: int, transaction_uids: Sequence[str]
) -> None:
    """Note requests before they are made: an answer may come at once. Earlier ones go."""
    await forget(connection, transfer_id)
    moment = now()
    await connection.execute(
        insert(_inquiry),
        [
            {
                "transaction_uid": uid,
                "transfer_id": transfer_id,
                "delivered": delivered,
                "asked_at": moment,
                "safe": None,
            }
            for uid in transaction_uids
        ],
    )


async def asked(connection: Connection, transfer_ids: Collection[int]) -> dict[int, Asked]:
    """What was asked of transfers since they were delivered as they are, by transfer id."""
    rows = await connection.execute(
        select(_inquiry.c.transfer_id, _inquiry.c.asked_at, _inquiry.c.safe)
        .join_from(_inquiry, _transfer)
        .where(
            _inquiry.c.transfer_id.in_(list(transfer_ids)),
            _inquiry.c.delivered == _transfer.c.delivered,
            _inquiry.c.asked_at >= _transfer.c.changed_at,
        )
    )
    found: dict[int, Asked] = {}
    for row in rows:
        before = found.get(row.transfer_id, Asked(row.asked_at, set())).safe
        safe = None if before is None or row.safe is None else before | set(row.safe)
        found[row.transfer_id] = Asked(row.asked_at, safe)
    return found


async def answered(connection: Connection, transaction_uid: str, safe: Collection[str]) -> bool:
    """A PACS has reported; whether that was asked of it.

    The transfer is looked at again as soon as everything that was asked of it is answered.
    """
    transfer_id = await connection.scalar(
        update(_inquiry)
        .where(_inquiry.c.transaction_uid == transaction_uid)
        .values(safe=sorted(safe))
        .returning(_inquiry.c.transfer_id)
    )
    if transfer_id is None:
        return False
    await connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id, _transfer.c.state == TransferState.VERIFYING)
        .values(verify_at=_transfer.c.requested_at)
    )
    return True


async def forget(connection: Connection, transfer_id: int) -> None:
    """Nobody waits for answers about this transfer any more."""
    await connection.execute(delete(_inquiry).where(_inquiry.c.transfer_id == transfer_id))
