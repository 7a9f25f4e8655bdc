"""Reads the quarantine."""

from sqlalchemy import select

from services.api.paging import Page, page_of
from services.api.quarantine.schemas import QuarantineRead
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.tables import Association, Quarantine, core

_quarantine, _association = core(Quarantine), core(Association)


async def list_page(connection: Connection, limit: int, after: int | None) -> Page[QuarantineRead]:
    """Quarantined files with their senders, the newest first."""
    query = (
        select(
            _quarantine,
            _association.c.calling_aet,
            _association.c.called_aet,
            _association.c.peer_address,
        )
        .join_from(_quarantine, _association)
        .order_by(_quarantine.c.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(_quarantine.c.id < after)
    rows = (await connection.execute(query)).mappings().all()
    found = [
        QuarantineRead.model_validate(dict(row) | {"reason": Reason(row["reason"]).in_words})
        for row in rows
    ]
    return page_of(found, [row.id for row in found], limit)
