"""Asks research PACS to keep what they were sent: storage commitment (PS3.4 annex J).

A PACS answers when it likes: at once over the association that asked, or hours later over one of
its own to the receiver, which notes the answer in the ledger. Where it does not know the service,
or does not answer in time, it is asked what it holds instead.
"""

import asyncio
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import NamedTuple

from shared import telemetry
from shared.clock import now
from shared.dimse.commitment import Reference, request
from shared.dimse.scu import Archive, RefusedError
from shared.errors import Reason, Retry
from shared.holdings import Place
from shared.ledger import Ledger
from shared.ledger.inquiries import Asked, answered, asked, enter, forget, references
from shared.ledger.verifying import Verifying, postpone
from shared.settings import Settings

log = telemetry.logger("verification")

_AT_ONCE = 1000  # images in a request


class Answers(NamedTuple):
    """What came of asking. Transfers in neither list are looked at again later."""

    kept: list[tuple[Verifying, set[str]]]
    """Transfers that were answered, and the SOP Instance UIDs that are kept of each."""
    unanswered: list[Verifying]
    """Transfers that storage commitment says nothing of."""


class Committing:
    """Storage commitment as SCU.

    Parameters
    ----------
    threads
        Where associations are waited for.
    """

    def __init__(self, settings: Settings, ledger: Ledger, threads: ThreadPoolExecutor) -> None:
        self._settings, self._ledger, self._threads = settings, ledger, threads

    async def ask(self, some: Sequence[Verifying], place: Place) -> Answers:
        """Have the images of transfers kept, at one destination; what it has said by now."""
        if not isinstance(place, Archive):
            return Answers([], list(some))
        before = await self._asked(some)
        fresh = [one for one in some if one.id not in before]
        if fresh and not await self._request(fresh, place):
            some = [one for one in some if one.id in before]
        else:
            fresh = []
        found = await self._asked(some)
        kept, unanswered = [], fresh
        for one in some:
            answer = found.get(one.id)
            if answer is None:
                continue  # it has changed meanwhile
            if answer.safe is None and now() - answer.since < self._wait:
                answer = await self._wait_for(one)
            elif answer.safe is None:
                unanswered.append(one)
            if answer is not None and answer.safe is not None:
                kept.append((one, answer.safe))
        return Answers(kept, unanswered)

    @property
    def _wait(self) -> timedelta:
        return timedelta(seconds=self._settings.commitment_wait)

    async def _asked(self, some: Sequence[Verifying]) -> dict[int, Asked]:
        async with self._ledger.reading() as connection:
            return await asked(connection, [one.id for one in some])

    async def _wait_for(self, one: Verifying) -> Asked | None:
        """Look at a transfer again after a while; what was answered meanwhile.

        An answer has the transfer looked at now. That must not be undone: its row is locked here
        first, and the answers are read after that.
        """
        async with self._ledger.transaction() as connection:
            await postpone(
                connection, one, self._settings.commitment_wait, Reason.COMMITMENT_PENDING, ""
            )
            return (await asked(connection, [one.id])).get(one.id)

    async def _request(self, some: Sequence[Verifying], archive: Archive) -> bool:
        """Ask over one association; whether it was understood."""
        requests: dict[str, Sequence[Reference]] = {}
        async with self._ledger.transaction() as connection:
            for one in some:
                every = await references(connection, one.id)
                own = {
                    f"2.25.{uuid.uuid4().int}": every[start : start + _AT_ONCE]
                    for start in range(0, len(every), _AT_ONCE)
                }
                await enter(connection, one.id, one.delivered, list(own))
                requests |= own
        try:
            reports = await asyncio.get_running_loop().run_in_executor(
                self._threads, request, self._settings, archive, requests
            )
        except (Retry, RefusedError) as error:
            log.warning("no storage commitment", transfers=len(some), why=str(error))
            async with self._ledger.transaction() as connection:
                for one in some:
                    await forget(connection, one.id)
            return False
        log.info("storage commitment asked for", transfers=len(some), requests=len(requests))
        async with self._ledger.transaction() as connection:
            for report in reports:
                await answered(connection, report.transaction_uid, report.safe)
        return True
