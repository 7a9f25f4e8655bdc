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
from shared.dimse.commitment import Outcome, Reference, request
from shared.dimse.scu import Archive
from shared.errors import Reason, Retry
from shared.holdings import Place
from shared.ledger import Ledger
from shared.ledger.inquiries import answered, asked, enter, forget, references
from shared.ledger.verifying import Verifying, postpone
from shared.settings import Settings

log = telemetry.logger("verification")

_AT_ONCE = 1000  # images in a request
_AGAIN = 30.0  # seconds until one that could not be asked is asked again


class Answers(NamedTuple):
    """What came of asking. Transfers in neither list are looked at again later."""

    lost: list[tuple[Verifying, set[str]]]
    """Transfers that were answered in full, and what the PACS does not have of each."""
    unanswered: list[Verifying]
    """Transfers that storage commitment does not decide: look what is there."""


class Committing:
    """Storage commitment as SCU.

    Parameters
    ----------
    threads
        Where associations are waited for.
    """

    def __init__(self, settings: Settings, ledger: Ledger, threads: ThreadPoolExecutor) -> None:
        self._settings, self._ledger, self._threads = settings, ledger, threads
        self._wait = timedelta(seconds=settings.commitment_wait)

    async def ask(self, some: Sequence[Verifying], place: Place) -> Answers:
        """Have the images of transfers kept, at one destination; what it has said by now."""
        if not isinstance(place, Archive):
            return Answers([], list(some))
        async with self._ledger.reading() as connection:
            before = await asked(connection, [one.id for one in some])
        fresh = [one for one in some if one.id not in before]
        not_taken, over = await self._request(fresh, place) if fresh else ([], [])
        answers = Answers([], over)
        for one in some:
            if one not in not_taken:
                await self._look(one, answers)
        return answers

    async def _look(self, one: Verifying, answers: Answers) -> None:
        """See what was said of a transfer, and otherwise look at it again after a while.

        An answer has the transfer looked at now. That must not be undone: its row is locked here
        first, and the answers are read after that.
        """
        async with self._ledger.transaction() as connection:
            await postpone(
                connection, one, self._settings.commitment_wait, Reason.COMMITMENT_PENDING, ""
            )
            said = (await asked(connection, [one.id])).get(one.id)
            expected = {uid for _, uid in await references(connection, one.id)}
        if said is None:
            return  # it could not be asked, or has changed meanwhile
        if said.answered and expected <= said.safe | said.lost:
            answers.lost.append((one, said.lost))
        elif said.answered or now() - said.since > self._wait:
            answers.unanswered.append(one)

    async def _request(
        self, some: Sequence[Verifying], archive: Archive
    ) -> tuple[list[Verifying], list[Verifying]]:
        """Ask over one association; the transfers that it was not asked about in full, and those of
        them that are not to be asked about any more.
        """
        requests: dict[str, Sequence[Reference]] = {}
        of: dict[str, Verifying] = {}
        async with self._ledger.transaction() as connection:
            for one in some:
                every = await references(connection, one.id)
                own = {
                    f"2.25.{uuid.uuid4().int}": every[start : start + _AT_ONCE]
                    for start in range(0, len(every), _AT_ONCE)
                }
                if own:  # otherwise it has just changed, and is not to be verified any more
                    await enter(connection, one.id, one.delivered, list(own))
                    requests |= own
                    of |= dict.fromkeys(own, one)
        outcome: Outcome = await asyncio.get_running_loop().run_in_executor(
            self._threads, request, self._settings, archive, requests
        )
        without = sorted({of[uid] for uid in requests if uid not in outcome.accepted})
        async with self._ledger.transaction() as connection:
            for report in outcome.reports:
                await answered(connection, report.transaction_uid, report.safe, report.lost)
            await forget(connection, [uid for uid, one in of.items() if one in without])
        log.info("storage commitment asked for", transfers=len(some), not_taken=len(without))
        if outcome.error is None:
            return [], []
        log.warning("no storage commitment", transfers=len(without), why=str(outcome.error))
        return without, await self._later(without, outcome.error)

    async def _later(self, some: Sequence[Verifying], error: Exception) -> list[Verifying]:
        """Those that are not to be asked again; the others are, in a while."""
        if not isinstance(error, Retry):
            return list(some)
        over = [one for one in some if now() - one.since > self._wait]
        async with self._ledger.transaction() as connection:
            for one in some:
                if one not in over:
                    await postpone(connection, one, _AGAIN, error.reason, error.detail)
        return over
