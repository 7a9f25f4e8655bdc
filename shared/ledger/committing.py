"""Requests for storage commitment: what they are about, and how far they are."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update

from shared.addresses import covers
from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import CommitmentState, Keeping
from shared.ledger.tables import Commitment, Instance, Peer, Series, Study, core
from shared.ledger.writing import insert_or

_commitment, _instance, _peer = core(Commitment), core(Instance), core(Peer)
_series, _study = core(Series), core(Study)

_AT_ONCE = 500  # instances in one question
_LEASE = timedelta(minutes=2)
_KEPT = timedelta(days=7)
"""How long one that is over can be looked up."""


class Asked(NamedTuple):
    """A request."""

    transaction_uid: str
    calling_aet: str
    called_aet: str
    peer_address: str
    items: list[list[str]]
    """SOP Class UID and SOP Instance UID of each."""


class Held(NamedTuple):
    """An instance whose file is here."""

    sop_class_uid: str
    spool_key: str


async def enter(connection: Connection, asked: Asked, due_in: float) -> int:
    """Enter a request, which nobody else looks at for `due_in` seconds; its id.

    One that is made again is dealt with again.
    """
    values = asked._asdict() | {
        "state": CommitmentState.ASKED,
        "asked_at": now(),
        "due_at": now() + timedelta(seconds=due_in),
        "attempts": 0,
    }
    result = await connection.execute(
        insert_or(connection, _commitment)
        .values(**values)
        .on_conflict_do_update(index_elements=["calling_aet", "transaction_uid"], set_=values)
        .returning(_commitment.c.id)
    )
    return int(result.scalar_one())


async def due(connection: Connection, limit: int) -> list[Any]:
    """Requests to look at now, as rows; each is due again in a while. Old ones are forgotten."""
    await connection.execute(
        delete(_commitment).where(
            _commitment.c.state != CommitmentState.ASKED, _commitment.c.due_at < now() - _KEPT
        )
    )
    rows = await connection.execute(
        select(_commitment)
        .where(_commitment.c.state == CommitmentState.ASKED, _commitment.c.due_at <= now())
        .order_by(_commitment.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = list(rows)
    if found:
        await connection.execute(
            update(_commitment)
            .where(_commitment.c.id.in_([row.id for row in found]))
            .values(due_at=now() + _LEASE)
        )
    return found


async def held(connection: Connection, sop_uids: Sequence[str]) -> dict[str, list[Held]]:
    """Those of the instances whose files are here; one UID may be in several series."""
    found: dict[str, list[Held]] = {}
    for start in range(0, len(sop_uids), _AT_ONCE):
        rows = await connection.execute(
            select(
                _instance.c.sop_instance_uid, _instance.c.sop_class_uid, _instance.c.spool_key
            ).where(
                _instance.c.sop_instance_uid.in_(sop_uids[start : start + _AT_ONCE]),
                _instance.c.keeping == Keeping.HERE,
            )
        )
        for uid, sop_class, key in rows:
            found.setdefault(uid, []).append(Held(sop_class, key))
    return found


async def promise(connection: Connection, sop_uids: Sequence[str]) -> dict[str, list[Held]]:
    """Note that a sender is told that instances are safe here; those that are.

    Their studies are locked first: nothing of them is removed between the look and the word.
    """
    studies: set[int] = set()
    for start in range(0, len(sop_uids), _AT_ONCE):
        some = _instance.c.sop_instance_uid.in_(sop_uids[start : start + _AT_ONCE])
        studies.update(
            await connection.scalars(
                select(_series.c.study_id).join_from(_instance, _series).where(some).distinct()
            )
        )
    in_order = sorted(studies)
    for start in range(0, len(in_order), _AT_ONCE):
        which = _study.c.id.in_(in_order[start : start + _AT_ONCE])
        await connection.execute(
            select(_study.c.id).where(which).order_by(_study.c.id).with_for_update(key_share=True)
        )
        await connection.execute(update(_study).where(which).values(promised_at=now()))
    return await held(connection, sop_uids)


async def end(connection: Connection, commitment_id: int, state: CommitmentState) -> None:
    """A request is over."""
    await connection.execute(
        update(_commitment)
        .where(_commitment.c.id == commitment_id)
        .values(state=state, due_at=now())
    )


async def postpone(
    connection: Connection, commitment_id: int, delay: float, *, tried: bool = False
) -> None:
    """Look at a request again in `delay` seconds."""
    await connection.execute(
        update(_commitment)
        .where(_commitment.c.id == commitment_id)
        .values(
            due_at=now() + timedelta(seconds=delay),
            attempts=_commitment.c.attempts + int(tried),
        )
    )


async def report_address(
    connection: Connection, calling_aet: str, peer_address: str
) -> tuple[str, int] | None:
    """Host and port that a sender takes reports at; None where that was not entered."""
    rows = await connection.execute(
        select(_peer.c.addresses, _peer.c.report_host, _peer.c.report_port)
        .where(
            _peer.c.enabled,
            func.coalesce(_peer.c.calling_aet, calling_aet) == calling_aet,
            _peer.c.report_port.is_not(None),
        )
        .order_by(_peer.c.calling_aet.is_(None), _peer.c.id)
    )
    for addresses, host, port in rows:
        if covers(addresses, peer_address):
            return host or peer_address, port
    return None
