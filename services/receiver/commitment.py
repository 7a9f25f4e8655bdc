"""Storage Commitment Push Model SCP (PS3.4 annex J): which images are safe here.

An image is safe when it is in the ledger and its file is here: then that is durable, and nothing
removes it as long as was promised (`SLUSE_COMMITMENT_KEEP_DAYS`). The promise is noted before it
is made. A sender may ask before that, so it is given some time. The report goes over the
association that asked while that is open and quiet; else over a new one, to where the sender was
entered to take reports.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from services.receiver.commitment_data import encoded, objection, read, told
from shared import telemetry
from shared.dimse import messages
from shared.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from shared.dimse.messages import Answer, Channel, Handler, Message, encode, response
from shared.dimse.scu import Archive, RefusedError, report
from shared.errors import Reason, Retry
from shared.ledger import Ledger
from shared.ledger.committing import (
    Asked,
    Held,
    due,
    end,
    enter,
    held,
    postpone,
    promise,
    report_address,
)
from shared.ledger.states import CommitmentState
from shared.settings import Durability, Settings
from shared.spool import Spool

log = telemetry.logger("commitment")

_ALL_SAFE, _SOME_NOT = 1, 2  # event types (PS3.4 J.3.3)
_ON_THE_SPOT = 2.0  # seconds that the sender's association waits for its report
_AGAIN = 60.0  # seconds after which a report over that association counts as lost
_PAUSE = 0.1
_AT_MOST = 20
_EVERY = 1.0
_TRIES = 8
_BACKLOG = 24 * 3600.0  # seconds that files in the inbox are waited for
T = TypeVar("T")


class Commitments:
    """Takes requests on the associations' threads, and reports on them.

    Parameters
    ----------
    loop
        Where the ledger is used.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, spool: Spool, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._settings, self._ledger, self._spool, self._loop = settings, ledger, spool, loop
        self._waiting: WeakKeyDictionary[Channel, dict[int, int]] = WeakKeyDictionary()
        """Requests reported on over the association that asked, by message id."""
        # Of their own: a sender that hangs must not keep the threads that others need.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="commitment")
        self.handlers: dict[int, Handler] = {
            messages.N_ACTION_RQ: self._requested,
            messages.N_EVENT_REPORT_RSP: self._acknowledged,
        }

    # On the associations' threads

    def _requested(self, message: Message, channel: Channel) -> Answer | None:
        refusal = objection(message)
        if refusal is not None:
            return refusal
        try:
            asked = read(message, channel)
        except ValueError as error:
            return Answer(messages.INVALID_ARGUMENT_VALUE, str(error))
        try:
            commitment_id = self._wait_for(self._enter(asked))
        except Retry:
            return Answer(messages.PROCESSING_FAILURE, "Sluse can't note the request now")
        channel.send(message.context_id, response(message.command, Answer(messages.SUCCESS)))
        log.info("storage commitment asked for", commitment=commitment_id, images=len(asked.items))
        self._report_on_the_spot(commitment_id, asked, message, channel)
        return None

    def _acknowledged(self, message: Message, channel: Channel) -> Answer | None:
        asked = message.command.value(messages.MESSAGE_ID_BEING_RESPONDED_TO)
        commitment_id = self._waiting.get(channel, {}).pop(asked or 0, None)
        if commitment_id is not None and message.command.value(messages.STATUS) == messages.SUCCESS:
            self._wait_for(self._end(commitment_id, CommitmentState.REPORTED))
        return None

    def _report_on_the_spot(
        self, commitment_id: int, asked: Asked, message: Message, channel: Channel
    ) -> None:
        """Report over the association that asked, if the sender waits for it there."""
        try:
            failed = self._looked(asked, channel)
            if failed is None:
                # It does something else, or has left: it is reported to over a new association.
                self._wait_for(self._postpone(commitment_id, 0))
                return
            failed = self._wait_for(self._promised(asked.items))
        except Retry:
            return  # it is due in a while
        sent = self._waiting.setdefault(channel, {})
        number = len(sent) + 1
        sent[number] = commitment_id
        command = encode(
            {
                messages.AFFECTED_SOP_CLASS_UID: PUSH_MODEL,
                messages.COMMAND_FIELD: messages.N_EVENT_REPORT_RQ,
                messages.MESSAGE_ID: number,
                messages.COMMAND_DATA_SET_TYPE: 1,
                messages.AFFECTED_SOP_INSTANCE_UID: PUSH_MODEL_INSTANCE,
                messages.EVENT_TYPE_ID: _SOME_NOT if failed else _ALL_SAFE,
            }
        )
        said = told(asked.transaction_uid, asked.items, failed)
        channel.send(message.context_id, command, encoded(said, message))

    def _looked(self, asked: Asked, channel: Channel) -> dict[str, int] | None:
        """What is not safe when it is time to say so; None where the sender does not wait."""
        place = self._wait_for(self._place(asked.calling_aet, asked.peer_address))
        patience = _ON_THE_SPOT if place else self._settings.commitment_patience
        deadline = time.monotonic() + patience
        while channel.is_quiet():
            failed = self._wait_for(self._unsafe(asked.items))
            if not failed or (place is None and time.monotonic() > deadline):
                return failed
            if time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE)
        return None

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(self._settings.network_timeout)
        except TimeoutError:
            future.cancel()
            raise Retry(Reason.DATABASE_AWAY) from None

    # On the loop

    async def run(self) -> None:
        """Report on what is due, for ever."""
        while True:
            try:
                await self.round()
            except Retry as error:
                log.warning("commitments later", reason=error.reason)
            except Exception as error:  # a round that fails must not be the last one
                log.error("commitments failed", exc_info=error)
            await asyncio.sleep(_EVERY)

    async def round(self) -> None:
        """Report on every request that is due.

        Raises
        ------
        Retry
            The database is away.
        """
        async with self._ledger.transaction() as connection:
            found = await due(connection, _AT_MOST)
        await asyncio.gather(*(self._look_at(row) for row in found))

    async def _look_at(self, row: Any) -> None:
        failed = await self._unsafe(row.items)
        age = time.time() - row.asked_at.timestamp()
        if failed and (age < self._settings.commitment_patience or await self._may_still_come(age)):
            await self._postpone(row.id, _EVERY)
        elif await self._reported(row, failed := await self._promised(row.items)):
            log.info("storage commitment reported", commitment=row.id, failed=len(failed))
            await self._end(row.id, CommitmentState.REPORTED)
        elif row.attempts + 1 >= _TRIES:
            await self._end(row.id, CommitmentState.UNREPORTED)
        else:
            delays = self._settings.retry_delays
            delay = delays[min(row.attempts, len(delays) - 1)]
            await self._postpone(row.id, delay, tried=True)

    async def _may_still_come(self, age: float) -> bool:
        """Whether files wait to be catalogued: they may be what is asked about."""
        return age < _BACKLOG and await asyncio.to_thread(self._spool.has_arrivals)

    async def _reported(self, row: Any, failed: dict[str, int]) -> bool:
        place = await self._place(row.calling_aet, row.peer_address)
        if place is None:
            log.warning(
                "nobody knows where to report to: enter the sender as a peer", commitment=row.id
            )
            return False
        archive = Archive(row.calling_aet, *place, calling_aet=row.called_aet)
        event = _SOME_NOT if failed else _ALL_SAFE
        said = told(row.transaction_uid, row.items, failed)
        about = (self._settings, archive, PUSH_MODEL, PUSH_MODEL_INSTANCE, event, said)
        try:
            await self._loop.run_in_executor(self._threads, report, *about)
        except (Retry, RefusedError) as error:
            detail = error.detail if isinstance(error, Retry) else str(error)
            log.warning("storage commitment not reported", commitment=row.id, why=detail)
            return False
        return True

    async def _place(self, calling_aet: str, peer_address: str) -> tuple[str, int] | None:
        async with self._ledger.reading() as connection:
            return await report_address(connection, calling_aet, peer_address)

    async def _unsafe(self, items: Sequence[Sequence[str]]) -> dict[str, int]:
        """The images that are not safe here, with the failure reason of each (PS3.3 C.14.1.1)."""
        async with self._ledger.reading() as connection:
            found = await held(connection, [uid for _, uid in items])
        return await self._failed(items, found)

    async def _promised(self, items: Sequence[Sequence[str]]) -> dict[str, int]:
        """The same, of which the others are kept from now on as long as is promised."""
        async with self._ledger.transaction() as connection:
            found = await promise(connection, [uid for _, uid in items])
        return await self._failed(items, found)

    async def _failed(
        self, items: Sequence[Sequence[str]], found: dict[str, list[Held]]
    ) -> dict[str, int]:
        if self._settings.durability is Durability.NONE:
            keys = [one.spool_key for several in found.values() for one in several]
            await asyncio.to_thread(self._spool.sync, keys)
        failed = {}
        for sop_class, uid in items:
            if uid not in found:
                failed[uid] = messages.NO_SUCH_SOP_INSTANCE
            elif all(one.sop_class_uid != sop_class for one in found[uid]):
                failed[uid] = messages.CLASS_INSTANCE_CONFLICT
        return failed

    async def _enter(self, asked: Asked) -> int:
        async with self._ledger.transaction() as connection:
            return await enter(connection, asked, _AGAIN)

    async def _end(self, commitment_id: int, state: CommitmentState) -> None:
        async with self._ledger.transaction() as connection:
            await end(connection, commitment_id, state)

    async def _postpone(self, commitment_id: int, delay: float, *, tried: bool = False) -> None:
        async with self._ledger.transaction() as connection:
            await postpone(connection, commitment_id, delay, tried=tried)
