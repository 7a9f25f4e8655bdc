"""Enters who brought files, and the files that can't be catalogued."""

import asyncio
from collections.abc import Iterable

from services.classifier.arrivals import Unusable
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.tables import Association, Quarantine, core
from shared.ledger.writing import clip, insert_or
from shared.spool import Association as Sender
from shared.spool import Spool

_association, _quarantine = core(Association), core(Quarantine)


async def record_senders(connection: Connection, senders: dict[str, Sender]) -> None:
    """Enter associations, or how they ended."""
    for association_id, sender in sorted(senders.items()):
        closing = {"closed_at": sender.closed_at, "completed": sender.completed}
        statement = insert_or(connection, _association).values(
            id=association_id,
            calling_aet=clip(_association, "calling_aet", sender.calling_aet),
            called_aet=clip(_association, "called_aet", sender.called_aet),
            peer_address=clip(_association, "peer_address", sender.peer_address),
            opened_at=sender.opened_at,
            priority=sender.priority,
            **closing,
        )
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_=closing)
            if sender.closed_at
            else statement.on_conflict_do_nothing(index_elements=["id"])
        )


async def quarantine(connection: Connection, spool: Spool, unusable: Iterable[Unusable]) -> None:
    """Enter files that can't be catalogued, and give them their place."""
    rows, moves = [], {}
    for one in unusable:
        moves[one.key] = spool.quarantine_key(one.key)
        rows.append(
            {
                "spool_key": moves[one.key],
                "association_id": spool.association_of(one.key),
                "reason": one.reason,
                "detail": clip(_quarantine, "detail", one.detail),
                "size": one.size,
                "received_at": now(),
            }
        )
    if rows:
        await asyncio.to_thread(spool.adopt, moves)
        await connection.execute(
            insert_or(connection, _quarantine).on_conflict_do_nothing(index_elements=["spool_key"]),
            rows,
        )
