"""Reads the quarantine."""

from sqlalchemy import select

from services.api.paging import Page, newest_first, page_of
from services.api.quarantine.schemas import QuarantineRead
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.tables import Association, Quarantine, core

_quarantine, _association = core(Quarantine), core(Association)


async def list_page(connection: Connection, limit: int, after: int | None) -> Page[QuarantineRead]:
    """Quarantined files with their senders, the newest first."""
    files = select(
        _quarantine,
        _association.c.calling_aet,
        _association.c.called_aet,
        _association.c.peer_address,
    ).join_from(_quarantine, _association)
    query = newest_first(files, _quarantine.c.id, limit, after)
    found = [
        QuarantineRead.model_validate(dict(row) | {"reason": Reason(row["reason"]).in_words})
        for row in (await connection.execute(query)).mappings()
    ]
    return page_of(found, limit)
