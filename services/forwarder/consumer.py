"""What the forwarder does with a batch of `instance.anonymized`.

Copies go to their projects' destinations; then one transaction notes what each destination said.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.forwarder.destinations import Destinations, opens_in
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.work import Work, load
from shared import telemetry
from shared.batch import Asked
from shared.bus import FORWARDER_ANONYMIZED, Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import InstanceAnonymized, InstanceFailed, InstanceForwarded
from shared.faults import Point, reach
from shared.ledger import Connection, Ledger
from shared.ledger.deleting import again
from shared.ledger.deliveries import Waiting, lock_batch, may_be_sent, move, postpone
from shared.ledger.states import DeliveryState
from shared.ledger.transfers import settle
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("forwarder")

Answered = tuple[Work, Answer]
_CLOSED = Answer(Verdict.RETRY, Reason.DESTINATION_CLOSED)


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
        asked = Asked(batch, InstanceAnonymized)
        async with self._ledger.transaction() as connection:
            work = await self._take(connection, asked.ids)
        reach(Point.FORWARDER_TAKEN)
        closed = [(one, _CLOSED) for one in work if one.peer and one.closed_for]
        answered = closed + await self._destinations.send(
            [one for one in work if not one.closed_for]
        )
        reach(Point.FORWARDER_SENT)
        sent, failed, waiting, lost = _sorted(answered)
        async with self._ledger.transaction() as connection:
            await lock_batch(connection, [one.id for one in work])
            noted = await _note(connection, DeliveryState.FORWARDED, sent)
            # What was taken back while it was on its way may be there now: it must go again.
            await again(connection, {one.transfer_id for one, _ in answered if one.id not in noted})
            await _note(connection, DeliveryState.FAILED, failed)
            # The copy is gone from the spool: the reconciler has it made again.
            await _note(connection, DeliveryState.ASSIGNED, lost)
            await postpone(
                connection,
                [
                    Waiting(
                        one.id,
                        asked.attempt(one.id),
                        answer.reason,
                        answer.detail,
                        one.closed_for or None,
                    )
                    for one, answer in waiting
                ],
                self._settings,
            )
            await settle(connection, {one.transfer_id for one, _ in sent + failed})
            reach(Point.FORWARDER_NOTED)
        reach(Point.FORWARDER_COMMITTED)
        asked.announce(outcome, InstanceForwarded, [one.place for one, _ in sent])
        asked.announce(outcome, InstanceFailed, [one.place for one, _ in failed])
        for one, _ in waiting:
            asked.retry(outcome, one.id)
        _warn(waiting + failed)
        log.info(
            "forwarded",
            sent=len(sent),
            failed=len(failed),
            waiting=len(waiting),
            made_again=len(lost),
        )

    async def _take(self, connection: Connection, delivery_ids: Iterable[int]) -> list[Work]:
        """What may be sent now; the ledger knows before it goes where it goes."""
        found = [
            replace(one, closed_for=opens_in(one.peer)) if one.peer else one
            for one in await load(connection, delivery_ids, self._spool)
        ]
        going = [one for one in found if one.peer and not one.closed_for]
        places = {one.id: (one.revision, one.peer.destination_id) for one in going if one.peer}
        may = await may_be_sent(connection, places)
        return [one for one in found if one.id in may or one not in going]

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Note that sending was given up."""
        assert isinstance(message.event, InstanceAnonymized)
        async with self._ledger.transaction() as connection:
            work = await load(connection, message.event.delivery_ids, self._spool)
            failed = [(one, Answer(Verdict.REJECT, reason)) for one in work]
            await _note(connection, DeliveryState.FAILED, failed)
            await settle(connection, {one.transfer_id for one in work})


async def _note(connection: Connection, state: DeliveryState, answered: list[Answered]) -> set[int]:
    return await move(
        connection,
        state,
        [
            {
                "id": one.id,
                "revision": one.revision,
                "since": one.since,
                "reason": answer.reason,
                "detail": answer.detail,
            }
            for one, answer in answered
        ],
        due_at=now(),
        step="forwarder",
    )


def _warn(answered: list[Answered]) -> None:
    """Say once per destination and answer what did not go well there."""
    troubles = Counter(
        (one.peer and one.peer.destination_id, answer.reason, answer.detail)
        for one, answer in answered
    )
    for (destination, reason, detail), images in troubles.items():
        log.warning(
            "not delivered",
            destination=destination,
            reason=reason,
            detail=detail,
            images=images,
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
