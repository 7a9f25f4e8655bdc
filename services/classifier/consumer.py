"""What the classifier does with a batch of events.

`instance.received`, `association.closed`
    The files' headers go into the ledger; what belongs to a project gets its deliveries.
`transfer.requested`
    Every instance of the study gets its delivery.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from services.classifier.arrivals import Arrival, Unusable, examine
from services.classifier.assignment import assign_arrived
from services.classifier.catalogue import (
    Recorded,
    count_instances,
    quarantine,
    record,
    record_senders,
)
from shared import telemetry
from shared.bus import CLASSIFIER_RECEIVED, CLASSIFIER_TRANSFERS, Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import AssociationClosed, InstanceAssigned, InstanceReceived, TransferRequested
from shared.ledger import Ledger
from shared.ledger.deliveries import Assigned, assign
from shared.ledger.transfers import lock_studies
from shared.settings import Settings
from shared.spool import Association as Sender
from shared.spool import Spool

log = telemetry.logger("classifier")


class ReceivedConsumer:
    """Catalogues what arrived."""

    queue = CLASSIFIER_RECEIVED

    def __init__(self, settings: Settings, ledger: Ledger, spool: Spool) -> None:
        self._patience = settings.patience
        self._ledger, self._spool = ledger, spool

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Catalogue a batch: headers, one transaction, then the events and the inbox."""
        keys = [
            key
            for message in batch
            if isinstance(message.event, InstanceReceived)
            for key in message.event.keys
        ]
        closed = {
            message.event.association_id
            for message in batch
            if isinstance(message.event, AssociationClosed)
        }
        arrivals, unusable, senders = await asyncio.to_thread(self._look, keys, closed)
        async with self._ledger.transaction() as connection:
            await record_senders(connection, senders)
            await quarantine(connection, self._spool, unusable)
            recorded = await record(connection, self._spool, arrivals)
            assigned = await assign_arrived(connection, recorded, senders, self._patience)
            totals = await count_instances(connection, [series.id for series in recorded.series])
        publish(outcome, assigned, because=batch[0])
        await asyncio.to_thread(self._tidy, keys, arrivals, recorded, totals, senders)
        self._tell(recorded, unusable)

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Hold the files for a person."""
        if not isinstance(message.event, InstanceReceived):
            return
        keys = message.event.keys
        left = [
            Unusable(key, self._spool.path(key).stat().st_size, reason, "")
            for key in keys
            if self._spool.path(key).exists()
        ]
        senders = self._senders([one.key for one in left])
        async with self._ledger.transaction() as connection:
            await record_senders(connection, senders)
            await quarantine(connection, self._spool, left)
        self._clear(keys, senders)

    def _look(
        self, keys: list[str], closed: set[str]
    ) -> tuple[list[Arrival], list[Unusable], dict[str, Sender]]:
        """What the files are and who brought them; and how the closed associations ended."""
        arrivals, unusable = examine(self._spool, sorted(set(keys)))
        senders = self._senders([one.key for one in arrivals] + [one.key for one in unusable])
        for association_id in closed:
            if ended := self._spool.read_association(association_id):
                senders[association_id] = ended
        return arrivals, unusable, senders

    def _senders(self, keys: list[str]) -> dict[str, Sender]:
        """Who brought the files, as the inbox says, or nobody if it does not."""
        return {
            one: self._spool.read_association(one)
            or Sender(calling_aet="", called_aet="", peer_address="", opened_at=now())
            for one in set(map(self._spool.association_of, keys))
        }

    def _tidy(
        self,
        keys: list[str],
        arrivals: list[Arrival],
        recorded: Recorded,
        totals: dict[int, int],
        senders: dict[str, Sender],
    ) -> None:
        """Write the series JSON, and clear the inbox."""
        facts = {(one.study_uid, one.series_uid): one.facts for one in reversed(arrivals)}
        connection_of = {
            (one.study_uid, one.series_uid): senders[self._spool.association_of(one.key)]
            for one in arrivals
        }
        for series in recorded.series:
            uids = series.study_uid, series.series_uid
            sender = connection_of[uids]
            self._spool.write_series_facts(
                *uids,
                {
                    **facts[uids],
                    "NumFiles": totals[series.id],
                    "IncomingConnection": {
                        "AETitleCaller": sender.calling_aet,
                        "AETitleCalled": sender.called_aet,
                        "CallerIP": sender.peer_address,
                    },
                },
            )
        self._clear(keys, senders)

    def _clear(self, keys: Iterable[str], senders: dict[str, Sender]) -> None:
        """Take off the inbox what the ledger has, and what is empty then."""
        self._spool.discard(keys)
        for association_id, sender in senders.items():
            if sender.closed_at:
                self._spool.forget_association(association_id)

    def _tell(self, recorded: Recorded, unusable: list[Unusable]) -> None:
        reasons = Counter((self._spool.association_of(one.key), one.reason) for one in unusable)
        for (association, reason), files in reasons.items():
            log.warning("quarantined", association=association, reason=reason, files=files)
        counted = {
            "new": len(recorded.new),
            "changed": len(recorded.changed),
            "duplicate": recorded.duplicates,
            "quarantined": len(unusable),
        }
        for name, count in counted.items():
            telemetry.INSTANCES.labels("classifier", name).inc(count)
        log.info("catalogued", studies=sorted(recorded.senders), **counted)


class TransferConsumer:
    """Expands requested transfers."""

    queue = CLASSIFIER_TRANSFERS

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._patience = settings.patience
        self._ledger = ledger

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Give every instance of the requested transfers its delivery."""
        by_id = {
            message.event.transfer_id: message
            for message in batch
            if isinstance(message.event, TransferRequested)
        }
        async with self._ledger.transaction() as connection:
            await lock_studies(connection, by_id)
            assigned = await assign(connection, sorted(by_id), patience=self._patience)
        publish(outcome, assigned, because=batch[0])
        log.info("transfers expanded", transfers=sorted(by_id))

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Leave the transfer requested: the reconciler brings it up again."""


def publish(outcome: Outcome, assigned: Assigned, *, because: Message) -> None:
    """Announce new deliveries."""
    for transfer_id, series_id, delivery_ids in assigned:
        outcome.publish(
            InstanceAssigned(
                transfer_id=transfer_id, series_id=series_id, delivery_ids=tuple(delivery_ids)
            ),
            because,
        )
