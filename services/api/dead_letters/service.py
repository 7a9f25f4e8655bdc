"""Reads and enters dead letters."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.dead_letters.schemas import DeadLetterRead
from services.api.paging import Page, page_of
from shared.bus import QUEUES, Message
from shared.errors import Reason
from shared.events import DeadLettered
from shared.ledger import Connection
from shared.ledger.tables import DeadLetter, core
from shared.ledger.writing import clip, insert_or


async def list_page(session: AsyncSession, limit: int, after: int | None) -> Page[DeadLetterRead]:
    """Dead letters, the newest first."""
    query = select(DeadLetter).order_by(col(DeadLetter.id).desc()).limit(limit + 1)
    if after is not None:
        query = query.where(col(DeadLetter.id) < after)
    found = [DeadLetterRead.model_validate(row) for row in await session.exec(query)]
    return page_of(found, [row.id for row in found], limit)


async def enter(connection: Connection, messages: Sequence[Message]) -> None:
    """Keep dead letters in the ledger; one that is there already is not doubled."""
    table = core(DeadLetter)
    rows = []
    for envelope, event in messages:
        if not isinstance(event, DeadLettered):
            # The broker itself moved it here: it stopped whoever took it, again and again.
            takers = (queue.name for queue in QUEUES if type(event) in queue.events)
            event = DeadLettered(
                queue=next(takers, ""),
                reason=Reason.DELIVERY_LIMIT,
                detail="",
                body=envelope.model_dump_json(),
            )
        rows.append(
            {
                "message_id": str(envelope.message_id),
                "queue": clip(table, "queue", event.queue),
                "reason": event.reason,
                "detail": clip(table, "detail", event.detail),
                "body": event.body.replace("\0", ""),
                "died_at": envelope.occurred_at,
            }
        )
    await connection.execute(
        insert_or(connection, table).on_conflict_do_nothing(index_elements=["message_id"]), rows
    )
