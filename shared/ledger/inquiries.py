"""Our requests for storage commitment: what research PACS were asked to keep, and what they said.

The forwarder asks, and looks here for the answer; it may reach the forwarder on the association
that asked, or the receiver on another one, hours later.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import Delivery, Inquiry, Instance, Transfer, core

_inquiry, _transfer = core(Inquiry), core(Transfer)
_delivery, _instance = core(Delivery), core(Instance)

_KEPT = timedelta(days=7)
"""How long an answer is waited for."""


class Said(NamedTuple):
    """What was asked of a transfer, and what is known by now."""

    since: datetime
    answered: bool
    """To everything that was asked."""
    safe: set[str]
    """The SOP Instance UIDs that the PACS keeps."""
    lost: set[str]
    """Those that it does not have."""


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
    moment = now()
    await connection.execute(
        delete(_inquiry).where(
            (_inquiry.c.transfer_id == transfer_id) | (_inquiry.c.asked_at < moment - _KEPT)
        )
    )
    await connection.execute(
        insert(_inquiry),
        [
            {
                "transaction_uid": uid,
                "transfer_id": transfer_id,
                "delivered": delivered,
                "asked_at": moment,
            }
            for uid in transaction_uids
        ],
    )


async def asked(connection: Connection, transfer_ids: Collection[int]) -> dict[int, Said]:
    """What was asked of transfers since they were delivered as they are, by transfer id."""
    rows = await connection.execute(
        select(_inquiry.c.transfer_id, _inquiry.c.asked_at, _inquiry.c.safe, _inquiry.c.lost)
        .join_from(_inquiry, _transfer)
        .where(
            _inquiry.c.transfer_id.in_(list(transfer_ids)),
            _inquiry.c.delivered == _transfer.c.delivered,
            _inquiry.c.asked_at >= _transfer.c.changed_at,
        )
    )
    found: dict[int, Said] = {}
    for row in rows:
        before = found.get(row.transfer_id, Said(row.asked_at, True, set(), set()))
        found[row.transfer_id] = Said(
            row.asked_at,
            before.answered and row.safe is not None,
            before.safe | set(row.safe or ()),
            before.lost | set(row.lost or ()),
        )
    return found


async def answered(
    connection: Connection, transaction_uid: str, safe: Collection[str], lost: Collection[str]
) -> bool:
    """A PACS has reported; whether that was asked of it.

    The transfer is looked at again as soon as everything that was asked of it is answered; also one
    that was taken for complete meanwhile, when something of it is not kept.
    """
    transfer_id = await connection.scalar(
        update(_inquiry)
        .where(_inquiry.c.transaction_uid == transaction_uid)
        .values(safe=sorted(safe), lost=sorted(lost))
        .returning(_inquiry.c.transfer_id)
    )
    if transfer_id is None:
        return False
    waiting = _transfer.c.state == TransferState.VERIFYING
    if lost:
        waiting |= _transfer.c.state == TransferState.COMPLETE
    await connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id, waiting)
        .values(state=TransferState.VERIFYING, verify_at=_transfer.c.requested_at, verified_at=None)
    )
    return True


async def forget(connection: Connection, transaction_uids: Collection[str]) -> None:
    """These requests were not made."""
    await connection.execute(
        delete(_inquiry).where(_inquiry.c.transaction_uid.in_(list(transaction_uids)))
    )


async def forget_all(connection: Connection, transfer_id: int) -> None:
    """What was asked of a transfer is dealt with."""
    await connection.execute(delete(_inquiry).where(_inquiry.c.transfer_id == transfer_id))
