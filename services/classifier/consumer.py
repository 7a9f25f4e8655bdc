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
from services.classifier.catalogue import Catalogue, Recorded
from services.classifier.intake import quarantine, record_senders
from services.classifier.labels import Classifier
from shared import telemetry
from shared.bus import CLASSIFIER_RECEIVED, CLASSIFIER_TRANSFERS, Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import AssociationClosed, InstanceAssigned, InstanceReceived, TransferRequested
from shared.faults import Point, reach
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.recalling import startable
from shared.ledger.starting import Assigned, assign
from shared.ledger.transfers import lock_studies
from shared.settings import Settings
from shared.spool import Association as Sender
from shared.spool import Spool

log = telemetry.logger("classifier")


class ReceivedConsumer:
    """Catalogues what arrived."""

    queue = CLASSIFIER_RECEIVED

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        spool: Spool,
        master_key: MasterKey,
        classifier: Classifier,
    ) -> None:
        self._patience = settings.patience
        self._ledger, self._spool = ledger, spool
        self._master_key, self._classifier = master_key, classifier

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
        reach(Point.CLASSIFIER_EXAMINED)
        async with self._ledger.transaction() as connection:
            await record_senders(connection, senders)
            catalogue = Catalogue(connection, self._spool, senders, self._classifier)
            recorded = await catalogue.record(arrivals)
            unusable += recorded.strangers
            await quarantine(connection, self._spool, unusable)
            assigned = await assign_arrived(connection, recorded, self._patience, self._master_key)
            # While the studies are locked: a lower count never replaces a higher one.
            await asyncio.to_thread(self._write_facts, recorded)
            reach(Point.CLASSIFIER_RECORDED)
        reach(Point.CLASSIFIER_COMMITTED)
        publish(outcome, assigned, because=batch[0])
        await asyncio.to_thread(self._clear, keys, senders)
        reach(Point.CLASSIFIER_CLEARED)
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

    def _write_facts(self, recorded: Recorded) -> None:
        """Write the series JSON, with the earlier system's keys."""
        for series in recorded.series:
            self._spool.write_series_facts(
                series.study_uid,
                series.series_uid,
                {
                    **series.facts,
                    "NumFiles": series.instances,
                    "ClassifyType": series.labels["labels"],
                },
            )

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
            "restored": recorded.restored,
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
            # First the lock: a person may be cancelling one of them just now.
            await lock_studies(connection, by_id)
            ready = await startable(connection, by_id)
            assigned = await assign(connection, ready, patience=self._patience)
            reach(Point.CLASSIFIER_EXPANDED)
        reach(Point.CLASSIFIER_ASSIGNED)
        publish(outcome, assigned, because=batch[0])
        log.info("transfers expanded", transfers=sorted(by_id))

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Leave the transfer requested: the reconciler brings it up again."""


def publish(outcome: Outcome, assigned: Assigned, *, because: Message) -> None:
    """Announce new deliveries."""
    for batch in assigned:
        outcome.publish(batch.event(InstanceAssigned), because)
