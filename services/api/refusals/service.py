"""Reads refusals, and lets in who was refused."""

from sqlalchemy import delete, select
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.paging import Page, newest_first, page_of
from services.api.peers.schemas import PeerWrite
from services.api.peers.service import write
from services.api.problems import ProblemError, not_found
from services.api.refusals.schemas import RefusalRead
from shared.ledger import Connection
from shared.ledger.tables import Peer, Refusal, core

_refusal = core(Refusal)

NOT_LISTED = "unknown-calling-aet"
_WHY = {
    NOT_LISTED: "The sender is not listed as a peer.",
    "unknown-called-aet": "It addressed an AE title that is neither Sluse's nor that of an active "
    "project or of a rule. Have the sender's settings corrected.",
    "not-identified": "It did not show the user name and password that its peer entry asks for.",
    "local-limit-exceeded": "Too many associations were open. It may try again.",
    "disk-full": "The disk was nearly full. It may try again when there is room.",
    "backlog": "Too many images waited to be worked off. It may try again in a while.",
}
_OTHERWISE = "Its association request breaks the DICOM standard."
WORDS = (*_WHY.values(), _OTHERWISE)
"""What is said of refusals."""


async def list_page(connection: Connection, limit: int, after: int | None) -> Page[RefusalRead]:
    """Refusals, the newest kinds first."""
    query = newest_first(select(_refusal), _refusal.c.id, limit, after)
    rows = (await connection.execute(query)).mappings()
    return page_of([_read(dict(row)) for row in rows], limit)


async def latest(connection: Connection, limit: int) -> list[RefusalRead]:
    """The refusals that happened last."""
    query = select(_refusal).order_by(_refusal.c.last_at.desc(), _refusal.c.id.desc())
    rows = (await connection.execute(query.limit(limit))).mappings()
    return [_read(dict(row)) for row in rows]


async def allow(session: AsyncSession, refusal_id: int) -> Peer:
    """Enter who was refused as a peer, and forget the refusal.

    Raises
    ------
    ProblemError
        There is no such refusal, or this does not mend it.
    """
    found = await _get(session, refusal_id)
    if not _can_be_allowed(found.reason, found.calling_aet):
        why_in_words = _why(found.reason)
        raise ProblemError(409, f"Allowing the sender mends nothing. {why_in_words}")
    peer = await write(
        session,
        PeerWrite(
            name=await _free_name(session, found),
            calling_aet=found.calling_aet,
            addresses=found.peer_address,
        ),
    )
    await session.delete(found)
    return peer


async def forget(connection: Connection, refusal_id: int) -> None:
    """Remove a refusal from the list; a 404 problem when there is none."""
    result = await connection.execute(delete(_refusal).where(_refusal.c.id == refusal_id))
    if not result.rowcount:
        raise not_found("refusal")


async def _get(session: AsyncSession, refusal_id: int) -> Refusal:
    found = await session.get(Refusal, refusal_id)
    if found is None:
        raise not_found("refusal")
    return found


async def _free_name(session: AsyncSession, refusal: Refusal) -> str:
    wanted = f"{refusal.calling_aet} at {refusal.peer_address}"[:60].strip()
    names = set(await session.exec(select_rows(col(Peer.name))))
    return next(
        name for number in range(1, 1000)
        if (name := wanted if number == 1 else f"{wanted} {number}") not in names
    )  # fmt: skip


def _read(row: dict[str, object]) -> RefusalRead:
    reason, calling_aet = str(row["reason"]), str(row["calling_aet"])
    return RefusalRead.model_validate(
        row | {"why": _why(reason), "can_be_allowed": _can_be_allowed(reason, calling_aet)}
    )


def _why(reason: str) -> str:
    return _WHY.get(reason, _OTHERWISE)


def _can_be_allowed(reason: str, calling_aet: str) -> bool:
    # What was no AE title to begin with was not stored as it was.
    return reason == NOT_LISTED and not calling_aet.startswith("(")
