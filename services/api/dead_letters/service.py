"""Reads and enters dead letters."""

from collections.abc import Sequence

from sqlalchemy import select

from services.api.dead_letters.schemas import DeadLetterRead
from services.api.paging import Page, newest_first, page_of
from shared.bus import QUEUES, Message
from shared.errors import Reason
from shared.events import DeadLettered
from shared.ledger import Connection
from shared.ledger.tables import DeadLetter, core
from shared.ledger.writing import clip, insert_or

_dead_letter = core(DeadLetter)


async def list_page(connection: Connection, limit: int, after: int | None) -> Page[DeadLetterRead]:
    """Dead letters, the newest first."""
    query = newest_first(select(_dead_letter), _dead_letter.c.id, limit, after)
    found = [
        DeadLetterRead.model_validate(dict(row) | {"reason": Reason(row["reason"]).in_words})
        for row in (await connection.execute(query)).mappings()
    ]
    return page_of(found, limit)


async def enter(connection: Connection, messages: Sequence[Message]) -> None:
    """Keep dead letters in the ledger; one that is there already is not doubled."""
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
                "queue": clip(_dead_letter, "queue", event.queue),
                "reason": event.reason,
                "detail": clip(_dead_letter, "detail", event.detail),
                "body": event.body.replace("\0", ""),
                "died_at": envelope.occurred_at,
            }
        )
    await connection.execute(
        insert_or(connection, _dead_letter).on_conflict_do_nothing(index_elements=["message_id"]),
        rows,
    )
