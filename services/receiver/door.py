"""Who may come in: called AE titles, listed senders, passwords.

Kept up to date from the ledger, and asked by the associations' threads.
"""

import asyncio
from dataclasses import dataclass, field

from sqlalchemy import select

from services.receiver.acse import (
    NOT_IDENTIFIED,
    UNKNOWN_CALLED_AET,
    UNKNOWN_CALLING_AET,
    Caller,
    Identity,
    Verdict,
)
from shared import passwords, telemetry
from shared.addresses import covers
from shared.errors import Retry
from shared.ledger import Ledger
from shared.ledger.tables import Peer, core
from shared.ledger.titles import titles
from shared.priority import Priority, least
from shared.settings import PeerPolicy

log = telemetry.logger("receiver")

_PASSCODE = 2  # user identity type: user name and passcode (PS3.7 D.3.3.7.1)
_peer = core(Peer)


@dataclass(frozen=True)
class Listed:
    """A sender that was entered."""

    calling_aet: str | None
    addresses: str
    username: str | None = None
    password_hash: str = field(default="", repr=False)
    priority: str = Priority.NORMAL

    def is_caller(self, caller: Caller) -> bool:
        """Whether it is the one who calls."""
        called_so = self.calling_aet in (None, caller.calling_aet)
        return called_so and covers(self.addresses, caller.address)

    def knows(self, identity: Identity | None) -> bool:
        """Whether the caller shows the name and password that this sender must."""
        if self.username is None or identity is None or identity.kind != _PASSCODE:
            return False
        named = identity.primary == self.username.encode()
        # Looked at in any case: how long it takes tells nothing about names.
        return passwords.fits(identity.secondary, self.password_hash) and named


@dataclass(frozen=True)
class Guests:
    """Whom the door lets in, as the ledger said last."""

    titles: frozenset[str]
    """The AE titles that Sluse answers to."""
    listed: tuple[Listed, ...] = ()

    def verdict(self, caller: Caller, policy: PeerPolicy) -> Verdict:
        """Whether a caller is let in."""
        if caller.called_aet not in self.titles:
            return Verdict(UNKNOWN_CALLED_AET)
        entries = [one for one in self.listed if one.is_caller(caller)]
        if not entries:
            return Verdict(UNKNOWN_CALLING_AET if policy is PeerPolicy.LISTED else None)
        # An entry for a whole network must not take away the password of one in it.
        asking = [one for one in entries if one.username is not None]
        if not asking:
            return Verdict()
        if any(one.knows(caller.identity) for one in asking):
            return Verdict(identified=True)
        return Verdict(NOT_IDENTIFIED)

    def priority(self, caller: Caller) -> Priority:
        """Of what a caller sends: bulk where one of its entries says so."""
        return least(*(one.priority for one in self.listed if one.is_caller(caller)))


class Door:
    """Kept fresh from the ledger."""

    def __init__(self, own_title: str, policy: PeerPolicy, ledger: Ledger) -> None:
        self._own, self._policy, self._ledger = own_title, policy, ledger
        self._guests = Guests(frozenset({own_title}))

    def verdict(self, caller: Caller) -> Verdict:
        """Whether a caller is let in; any thread."""
        return self._guests.verdict(caller, self._policy)

    def priority(self, caller: Caller) -> Priority:
        """Of what a caller sends; any thread."""
        return self._guests.priority(caller)

    async def refresh(self) -> None:
        """Read from the ledger who is let in.

        Raises
        ------
        Retry
            The database is away.
        """
        async with self._ledger.reading() as connection:
            answered_to = await titles(connection, self._own)
            peers = await connection.execute(
                select(
                    _peer.c.calling_aet,
                    _peer.c.addresses,
                    _peer.c.username,
                    _peer.c.password_hash,
                    _peer.c.priority,
                ).where(_peer.c.enabled)
            )
            self._guests = Guests(answered_to, tuple(Listed(*row) for row in peers))

    async def keep_fresh(self, every: float) -> None:
        """Refresh every `every` seconds, for ever; without the database the last word counts."""
        while True:
            try:
                await self.refresh()
            except Retry as error:
                log.warning("who may send is not refreshed", reason=error.reason)
            await asyncio.sleep(every)
