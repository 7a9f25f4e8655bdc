"""How much work there is for Sluse: what it has taken in and not yet worked off."""

from sqlalchemy import func, select

from shared.ledger.database import Connection
from shared.ledger.states import IN_FLIGHT, TransferState
from shared.ledger.tables import Delivery, Transfer, core

_delivery, _transfer = core(Delivery), core(Transfer)


async def unfinished(connection: Connection, most: int) -> int:
    """Images that are on their way to projects, counted up to `most`.

    What waits for somebody else (a research PACS that is away, or takes images at night) does not
    count: sending less to Sluse would not make it go faster, and the disk has its own limit.
    """
    running = select(func.coalesce(func.sum(_transfer.c.in_flight), 0)).where(
        _transfer.c.state == TransferState.RUNNING
    )
    # The counters are read at once, and nearly always that is enough.
    on_their_way = int(await connection.scalar(running) or 0)
    if on_their_way < most:
        return on_their_way
    some = (
        select(_delivery.c.id)
        .where(_delivery.c.state.in_(sorted(IN_FLIGHT)), _delivery.c.reason.is_(None))
        .limit(most)
        .subquery()
    )
    return int(await connection.scalar(select(func.count()).select_from(some)) or 0)
