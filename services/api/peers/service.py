"""Reads and writes peers."""

import asyncio

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.peers.schemas import PeerWrite
from services.api.problems import not_found, rule_broken, taken
from shared import passwords
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import Peer


async def every(session: AsyncSession) -> list[Peer]:
    """All peers, by name."""
    return list(await session.exec(select(Peer).order_by(col(Peer.name))))


async def get(session: AsyncSession, peer_id: int, *, lock: bool = False) -> Peer:
    """One peer; a 404 problem when there is none."""
    found = await session.get(Peer, peer_id, with_for_update=lock)
    if found is None:
        raise not_found("peer")
    return found


async def write(session: AsyncSession, body: PeerWrite, peer: Peer | None = None) -> Peer:
    """Enter a peer, or change one; a problem when the name is taken or a password missing."""
    kept = await _kept(body, peer)
    values = body.model_dump(exclude={"password"}) | {"password_hash": kept}
    values["report_host"] = body.report_host or ""
    row = peer or Peer.model_validate(values)
    row.sqlmodel_update(values)
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise taken("name", "Another peer has this name.") from None
    await audit(await session.connection(), Action.PEER_ENTERED, peer=row.id, enabled=row.enabled)
    return row


async def remove(session: AsyncSession, peer_id: int) -> None:
    """Remove a peer; a 404 problem when there is none."""
    await session.delete(await get(session, peer_id))
    await audit(await session.connection(), Action.PEER_REMOVED, peer=peer_id)


async def _kept(body: PeerWrite, peer: Peer | None) -> str:
    if body.username is None:
        if body.password is not None:
            raise rule_broken("username", "Say whose password it is.")
        return ""
    if body.password is not None:
        return await asyncio.to_thread(passwords.hashed, body.password.encode())
    if peer is None or not peer.password_hash:
        raise rule_broken("password", "Give the password that the user name goes with.")
    return peer.password_hash
