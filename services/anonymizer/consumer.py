"""What the anonymizer does with a batch of `instance.assigned`.

Originals go through the engine, in processes of their own; then one transaction notes which copies
are written, which images are held and why, and which must wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from services.anonymizer import results
from services.anonymizer.jobs import Done
from services.anonymizer.pool import Pool
from services.anonymizer.work import Work, load
from shared import telemetry
from shared.batch import Asked
from shared.bus import ANONYMIZER_ASSIGNED, Message, Outcome
from shared.errors import Reason
from shared.events import InstanceAnonymized, InstanceAssigned, InstanceHeld
from shared.faults import Point, reach
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.deliveries import Waiting, lock_batch, postpone
from shared.settings import Settings

log = telemetry.logger("anonymizer")


@dataclass
class _Sorted:
    """A batch's work by how it went."""

    written: list[Work] = field(default_factory=list)
    held: list[tuple[Work, Done]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


class AssignedConsumer:
    """De-identifies what was assigned."""

    queue = ANONYMIZER_ASSIGNED

    def __init__(
        self, settings: Settings, ledger: Ledger, master_key: MasterKey, pool: Pool
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._master_key, self._pool = master_key, pool

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """De-identify a batch, note how it went, announce it."""
        asked = Asked(batch, InstanceAssigned)
        async with self._ledger.reading() as connection:
            work, made_before = await load(connection, asked.ids, self._master_key)
        done = await self._pool.do([one.job for one in work])
        reach(Point.ANONYMIZER_WRITTEN)
        went = self._sort(zip(work, done, strict=True), asked)
        async with self._ledger.transaction() as connection:
            await lock_batch(connection, [one.job.delivery_id for one in work])
            await results.note_written(connection, went.written, self._settings)
            await results.note_held(connection, went.held)
            await postpone(connection, went.waiting, self._settings)
            reach(Point.ANONYMIZER_NOTED)
        reach(Point.ANONYMIZER_COMMITTED)
        written = [one.place for one in went.written]
        asked.announce(outcome, InstanceAnonymized, written + made_before)
        asked.announce(outcome, InstanceHeld, [one.place for one, _ in went.held])
        for one in went.waiting:
            asked.retry(outcome, one.delivery_id)
        log.info(
            "de-identified",
            written=len(went.written),
            held=len(went.held),
            waiting=len(went.waiting),
            remarks=sum(one.remarks for one in done),
        )

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Hold the images for a person."""
        assert isinstance(message.event, InstanceAssigned)
        async with self._ledger.transaction() as connection:
            work, _ = await load(connection, message.event.delivery_ids, self._master_key)
            await results.note_held(
                connection, [(one, Done(one.job.delivery_id, held=reason)) for one in work]
            )

    def _sort(self, done: Iterable[tuple[Work, Done]], asked: Asked) -> _Sorted:
        went = _Sorted()
        for one, result in done:
            attempt = asked.attempt(one.job.delivery_id)
            if result.waits and self._pointless(result.waits, attempt):
                result = replace(result, held=result.waits, waits=None)
            if result.held:
                went.held.append((one, result))
            elif result.waits:
                went.waiting.append(
                    Waiting(one.job.delivery_id, attempt, result.waits, result.detail)
                )
            else:
                went.written.append(one)
        return went

    def _pointless(self, reason: Reason, attempt: int) -> bool:
        """Whether to stop trying: an original that is gone does not come back by itself."""
        return reason is Reason.SPOOL_FILE_MISSING and attempt + 1 >= self._settings.max_attempts
