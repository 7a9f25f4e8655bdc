"""Reads and enters dead letters."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select, update

from services.api.dead_letters.schemas import DeadLetterRead
from services.api.paging import Page, newest_first, page_of
from services.api.problems import not_found, rule_broken, settled
from shared.bus import QUEUES, Message
from shared.clock import now
from shared.errors import Reason, Reject, Retry
from shared.events import DeadLettered, Envelope
from shared.ledger import Connection
from shared.ledger.auditing import Action, audit
from shared.ledger.states import DeadLetterState
from shared.ledger.tables import DeadLetter, core
from shared.ledger.writing import clip, insert_or
from shared.runtime import Runtime

_dead_letter = core(DeadLetter)
_PATIENCE = 5.0  # seconds


async def list_page(
    connection: Connection, state: DeadLetterState | None, limit: int, after: int | None
) -> Page[DeadLetterRead]:
    """Dead letters, or those in one state, the newest first."""
    query = newest_first(select(_dead_letter), _dead_letter.c.id, limit, after)
    if state is not None:
        query = query.where(_dead_letter.c.state == state)
    rows = (await connection.execute(query)).mappings()
    return page_of([_read(row) for row in rows], limit)


async def read(connection: Connection, letter_id: int) -> DeadLetterRead:
    """One dead letter; a 404 problem when there is none."""
    query = select(_dead_letter).where(_dead_letter.c.id == letter_id)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise not_found("dead letter")
    return _read(row)


async def count_open(connection: Connection) -> int:
    """How many wait for a person's decision."""
    query = select(func.count()).where(_dead_letter.c.state == DeadLetterState.OPEN)
    return await connection.scalar(query) or 0


async def retry(runtime: Runtime, letter_id: int, actor: str) -> DeadLetterRead:
    """Send a message again.

    Raises
    ------
    ProblemError
        404: there is none; 409: somebody has decided; 422: this version can't read it.
    Retry
        The broker is away; it stays open.
    """
    async with runtime.ledger.transaction() as connection:
        decided = await _settle(connection, letter_id, DeadLetterState.RETRIED, actor)
        message = _message(decided.body)
        if message is None:
            raise rule_broken("body", "This version can't read the message. Discard it.")
        await audit(connection, Action.DEAD_LETTER_RETRIED, dead_letter=letter_id)
        # Before the commit: sent twice is harmless (law 3), decided and not sent is not.
        await _publish(runtime, message)
    return decided


async def _publish(runtime: Runtime, message: Message) -> None:
    """Not for long: the transaction waits."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await runtime.bus.publish(
                [message.event], producer="api", correlation_id=message.envelope.correlation_id
            )
    except TimeoutError:
        raise Retry(Reason.BUS_AWAY, "slow") from None


async def discard(connection: Connection, letter_id: int, why: str, actor: str) -> DeadLetterRead:
    """Note that a message is not needed, and why.

    Raises
    ------
    ProblemError
        404: there is none; 409: somebody has decided.
    """
    decided = await _settle(connection, letter_id, DeadLetterState.DISCARDED, actor, why)
    await audit(connection, Action.DEAD_LETTER_DISCARDED, dead_letter=letter_id)
    return decided


async def _settle(
    connection: Connection, letter_id: int, state: DeadLetterState, actor: str, why: str = ""
) -> DeadLetterRead:
    done = await connection.execute(
        update(_dead_letter)
        .where(_dead_letter.c.id == letter_id, _dead_letter.c.state == DeadLetterState.OPEN)
        .values(
            state=state,
            settled_at=now(),
            settled_by=clip(_dead_letter, "settled_by", actor),
            settled_why=clip(_dead_letter, "settled_why", why),
        )
    )
    found = await read(connection, letter_id)
    if not done.rowcount:
        raise settled("state", "Somebody has decided about this one.")
    return found


def _read(row: Mapping[Any, Any]) -> DeadLetterRead:
    message = _message(row["body"])
    about = {
        "reason": Reason(row["reason"]).in_words,
        "transfer_id": getattr(message.event, "transfer_id", None) if message else None,
    }
    return DeadLetterRead.model_validate(dict(row) | about)


def _message(body: str) -> Message | None:
    """The message that a dead letter holds; None where this version can't read it."""
    try:
        envelope = Envelope.model_validate_json(body)
        return Message(envelope, envelope.event())
    except (ValidationError, Reject):
        return None


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
