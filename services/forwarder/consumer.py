"""What the forwarder does with a batch of `instance.anonymized`.

Copies go to their projects' destinations; then one transaction notes what each destination said.
"""

from collections.abc import Sequence
from datetime import timedelta

from services.forwarder.destinations import Destinations
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.work import Work, load
from shared import telemetry
from shared.bus import FORWARDER_ANONYMIZED, Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import DeliveryEvent, InstanceAnonymized, InstanceFailed, InstanceForwarded
from shared.ledger import Connection, Ledger
from shared.ledger.deliveries import in_batches, move, postpone
from shared.ledger.states import DeliveryState
from shared.ledger.transfers import settle
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("forwarder")

Answered = tuple[Work, Answer]


class AnonymizedConsumer:
    """Sends what was de-identified."""

    queue = FORWARDER_ANONYMIZED

    def __init__(
        self, settings: Settings, ledger: Ledger, spool: Spool, destinations: Destinations
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._spool, self._destinations = spool, destinations

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Send a batch, note the answers, announce them."""
        asked: dict[int, Message] = {}
        for message in batch:
            if isinstance(message.event, InstanceAnonymized):
                asked |= dict.fromkeys(message.event.delivery_ids, message)
        async with self._ledger.reading() as connection:
            work = await load(connection, asked, self._spool)
        answered = await self._destinations.send(work)
        sent, failed, waiting, lost = _sorted(answered)
        async with self._ledger.transaction() as connection:
            await self._note(connection, DeliveryState.FORWARDED, sent)
            await self._note(connection, DeliveryState.FAILED, failed)
            # The copy is gone from the spool: the reconciler has it made again.
            await self._note(connection, DeliveryState.ASSIGNED, lost)
            await self._note_waiting(connection, waiting, asked)
            await settle(connection, {one.transfer_id for one, _ in sent + failed})
        _announce(outcome, InstanceForwarded, sent, asked)
        _announce(outcome, InstanceFailed, failed, asked)
        for one, _ in waiting:
            cause = asked[one.parcel.delivery_id]
            alone = {"delivery_ids": (one.parcel.delivery_id,)}
            outcome.retry(cause.event.model_copy(update=alone), cause)
        log.info(
            "forwarded",
            sent=len(sent),
            failed=len(failed),
            waiting=len(waiting),
            made_again=len(lost),
        )

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Note that sending was given up."""
        assert isinstance(message.event, InstanceAnonymized)
        async with self._ledger.transaction() as connection:
            work = await load(connection, message.event.delivery_ids, self._spool)
            failed = [(one, Answer(Verdict.REJECT, reason)) for one in work]
            await self._note(connection, DeliveryState.FAILED, failed)
            await settle(connection, {one.transfer_id for one in work})

    async def _note(
        self, connection: Connection, state: DeliveryState, answered: list[Answered]
    ) -> None:
        await move(
            connection,
            state,
            [
                {
                    "id": one.parcel.delivery_id,
                    "revision": one.revision,
                    "reason": answer.reason,
                    "detail": answer.detail,
                }
                for one, answer in answered
            ],
            due_at=now(),
            step="forwarder",
        )

    async def _note_waiting(
        self, connection: Connection, waiting: list[Answered], asked: dict[int, Message]
    ) -> None:
        delays = self._settings.retry_delays
        by_attempt: dict[int, list[Answered]] = {}
        for one, answer in waiting:
            attempt = asked[one.parcel.delivery_id].envelope.attempt
            by_attempt.setdefault(min(attempt, len(delays) - 1), []).append((one, answer))
        for attempt, some in by_attempt.items():
            await postpone(
                connection,
                [
                    {"id": one.parcel.delivery_id, "reason": answer.reason, "detail": answer.detail}
                    for one, answer in some
                ],
                due_at=now() + timedelta(seconds=delays[attempt] + self._settings.patience),
            )


def _sorted(
    answered: list[Answered],
) -> tuple[list[Answered], list[Answered], list[Answered], list[Answered]]:
    """Sent, failed, waiting, and those whose copy is gone."""
    sent = [one for one in answered if one[1].verdict is Verdict.DONE]
    failed = [one for one in answered if one[1].verdict is Verdict.REJECT]
    again = [one for one in answered if one[1].verdict is Verdict.RETRY]
    lost = [one for one in again if one[1].reason is Reason.SPOOL_FILE_MISSING]
    return sent, failed, [one for one in again if one not in lost], lost


def _announce(
    outcome: Outcome,
    kind: type[DeliveryEvent],
    answered: list[Answered],
    asked: dict[int, Message],
) -> None:
    for transfer_id, series_id, ids in in_batches([one.place for one, _ in answered]):
        event = kind(transfer_id=transfer_id, series_id=series_id, delivery_ids=tuple(ids))
        outcome.publish(event, asked[ids[0]])
