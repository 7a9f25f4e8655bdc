"""Asks research PACS whether they have what they said they have taken.

Everything here may be done twice: neither a look nor a request to keep images changes them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import select

from services.forwarder.committing import Committing
from shared import telemetry
from shared.bus import Bus
from shared.dimse.scu import RefusedError
from shared.errors import Reason, Retry, StepError
from shared.events import InstanceAssigned
from shared.holdings import Place, instance_uids, instances_held, place_of
from shared.ledger import Connection, Ledger
from shared.ledger.inquiries import forget_all
from shared.ledger.states import Verification
from shared.ledger.tables import Destination, core
from shared.ledger.verifying import (
    Verifying,
    delivered,
    due,
    needs_attention,
    postpone,
    send_missing,
    verified,
)
from shared.qido import WebArchive
from shared.settings import Settings

log = telemetry.logger("verification")

_AT_MOST = 100
_EVERY = 1.0  # seconds between looks
_destination = core(Destination)


class Verifier:
    """One look after the other, until cancelled."""

    def __init__(self, settings: Settings, bus: Bus, ledger: Ledger) -> None:
        self._settings, self._bus, self._ledger = settings, bus, ledger
        # Of their own: an archive that hangs must not keep the threads that others need.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="verifying")
        self._busy: set[int] = set()
        """Destinations that are being asked."""
        self._committing = Committing(settings, ledger, self._threads)

    async def run(self) -> None:
        """Verify what is due, for ever. A destination that is slow keeps no other one waiting."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    for place, work in (await self._begin()).items():
                        self._busy.add(place)
                        group.create_task(self._see_through(place, work))
                except StepError as error:
                    log.warning("verifying later", reason=error.reason, exc_info=error)
                except Exception as error:  # a round that fails must not be the last one
                    log.error("verifying failed", exc_info=error)
                await asyncio.sleep(min(_EVERY, self._settings.verify_after / 3))

    async def round(self) -> None:
        """Verify every transfer that is due, the destinations side by side.

        Raises
        ------
        Retry
            Database or broker are away.
        """
        ended = await asyncio.gather(*(await self._begin()).values(), return_exceptions=True)
        for error in filter(None, ended):
            raise error

    async def _begin(self) -> dict[int, Coroutine[Any, Any, None]]:
        """The work on what is due, by destination."""
        async with self._ledger.transaction() as connection:
            found = await due(connection, _AT_MOST, self._settings.verify_after, self._busy)
            places = await _places(connection, {one.destination_id for one in found})
        by_place: dict[int, list[Verifying]] = defaultdict(list)
        for one in found:
            by_place[one.destination_id].append(one)
        return {
            place: self._verify_all(some, places.get(place)) for place, some in by_place.items()
        }

    async def _see_through(self, place: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StepError as error:
            log.warning("verifying later", reason=error.reason, exc_info=error)
        except Exception as error:  # of one destination: not the others' trouble
            log.error("verifying failed", exc_info=error)
        finally:
            self._busy.discard(place)

    async def _verify_all(self, some: list[Verifying], destination: Any) -> None:
        if destination is None or destination.verification == Verification.NONE:
            for one in some:  # nobody wants it verified any more
                await self._note(one, asked=False)
            return
        place = place_of(destination)
        if destination.verification == Verification.COMMITMENT:
            said = await self._committing.ask(some, place)
            for one, lost in said.lost:
                await self._settle(one, lost=lost)
            some = said.unanswered
        if some:
            await self._query(some, place)

    async def _query(self, some: list[Verifying], place: Place) -> bool:
        """Look what is there: how many images of each study, and which, where numbers differ.

        Whether anybody answered.
        """
        if len(some) > 1 and isinstance(place, WebArchive):
            return await self._query_each(some, place)  # each study is a request there anyway
        uids = [one.released_study_uid for one in some]
        try:
            held = await self._ask(instances_held, place, uids)
        except (Retry, RefusedError) as error:
            if len(some) > 1 and not _is_away(error):
                # Maybe it is one study that it can't tell of: the others are not to wait for it.
                return await self._query_each(some, place)
            await self._note_unanswered(some, error)
            return not _is_away(error)
        for one in some:
            number = held.get(one.released_study_uid, 0)
            if number == one.delivered:
                await self._note(one)
            else:
                await self._compare(one, place, number)
        return True

    async def _query_each(self, some: list[Verifying], place: Place) -> bool:
        for number, one in enumerate(some, start=1):
            if not await self._query([one], place):
                if rest := some[number:]:
                    await self._note_unanswered(rest, Retry(Reason.DESTINATION_AWAY))
                return False
        return True

    async def _compare(self, one: Verifying, place: Place, number: int) -> None:
        """Look image by image, where the numbers differ."""
        try:
            there = await self._ask(instance_uids, place, one.released_study_uid)
        except Retry as error:
            await self._note_unanswered([one], error)
            return
        except RefusedError:
            # It counts and does not name them: then all are sent again, or there are more than
            # enough, as where other projects' images have the same UIDs.
            if number > one.delivered:
                await self._note(one)
                return
            there = set()
        await self._settle(one, there)

    async def _settle(
        self, one: Verifying, there: Collection[str] = (), lost: Collection[str] | None = None
    ) -> None:
        """Have sent again what is not there, or what is said to be lost."""
        async with self._ledger.transaction() as connection:
            expected = await delivered(connection, one.id)
            absent = expected.keys() - there if lost is None else lost
            missing = [id_ for uid, id_ in expected.items() if uid in absent]
            if missing:
                assigned = await send_missing(
                    connection, one, missing, patience=self._settings.patience
                )
            await forget_all(connection, one.id)
        if not missing:
            await self._note(one)
            return
        telemetry.VERIFICATIONS.labels("missing").inc()
        log.warning(
            "images are missing at the destination",
            transfer=one.id,
            missing=len(missing),
            sent_again=bool(assigned),
        )
        if assigned:
            await self._bus.publish(
                [batch.event(InstanceAssigned) for batch in assigned],
                producer="forwarder",
                correlation_id="verification",
            )

    async def _ask(self, question: Any, *about: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, question, self._settings, *about
        )

    async def _note_unanswered(self, some: list[Verifying], error: Retry | RefusedError) -> None:
        delays = self._settings.retry_delays
        async with self._ledger.transaction() as connection:
            for one in sorted(some):
                if isinstance(error, RefusedError):
                    await needs_attention(connection, one, Reason.NOT_VERIFIABLE, detail=str(error))
                else:
                    delay = delays[min(one.attempts, len(delays) - 1)]
                    await postpone(connection, one, delay, error.reason, error.detail)
        telemetry.VERIFICATIONS.labels("unanswered").inc(len(some))
        log.warning("not verified", transfers=len(some), why=str(error))

    async def _note(self, one: Verifying, *, asked: bool = True) -> None:
        async with self._ledger.transaction() as connection:
            await verified(connection, one, asked=asked)
        telemetry.VERIFICATIONS.labels("verified" if asked else "not-asked").inc()


def _is_away(error: Retry | RefusedError) -> bool:
    return isinstance(error, Retry) and error.reason is Reason.DESTINATION_AWAY


async def _places(connection: Connection, ids: set[int]) -> dict[int, Any]:
    if not ids:
        return {}
    rows = await connection.execute(select(_destination).where(_destination.c.id.in_(ids)))
    return {row.id: row for row in rows}
