"""Finds unfinished work on the disk and in the ledger, and nudges it again (law 1).

Whatever became of the messages, even if the whole broker was purged: what stands in the inbox is
announced again, requested transfers are requested again, and deliveries in flight that nobody has
touched for a while are handed to their next step again. All of it is repeatable, so a nudge too
many does no harm; and a queue that still has work is left alone.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import select, update

from shared import telemetry
from shared.announcing import received_events
from shared.bus import (
    ANONYMIZER_ASSIGNED,
    CLASSIFIER_RECEIVED,
    CLASSIFIER_TRANSFERS,
    FORWARDER_ANONYMIZED,
    Bus,
    Queue,
)
from shared.clock import now
from shared.errors import StepError
from shared.events import (
    AssociationClosed,
    Event,
    InstanceAnonymized,
    InstanceAssigned,
    TransferRequested,
)
from shared.ledger import Ledger
from shared.ledger.recalling import waits_for_deletion
from shared.ledger.starting import Assigned, in_batches
from shared.ledger.states import IN_FLIGHT, DeliveryState, TransferState
from shared.ledger.tables import Delivery, Transfer, core
from shared.priority import Priority
from shared.settings import Settings
from shared.spool import Association, Spool

log = telemetry.logger("reconciler")

AT_MOST = 10_000
"""Instances nudged in one round and step, so that a round stays short."""
_NEXT = 1.0  # seconds until the next round while there is more to nudge
_LONGEST_WAIT = 3600.0  # seconds between nudges of the same delivery
_ABANDONED = 24 * 3600.0  # age of files and associations that belong to nobody, seconds

_delivery, _transfer = core(Delivery), core(Transfer)


class Reconciler:
    """One round after the other, until cancelled."""

    def __init__(self, settings: Settings, bus: Bus, ledger: Ledger, spool: Spool) -> None:
        self._settings = settings
        self._bus, self._ledger, self._spool = bus, ledger, spool

    async def run(self, *, starts_empty: bool) -> None:
        """Reconcile for ever.

        Parameters
        ----------
        starts_empty
            The bus lives in this process and has just started without any message: everything
            unfinished is taken for forgotten at once.
        """
        forgotten = starts_empty
        while True:
            more = False
            try:
                if forgotten:
                    await self._make_everything_due()
                more = await self.reconcile(0.0 if forgotten else self._settings.patience)
                forgotten = False
            except StepError as error:
                log.warning("reconciling later", reason=error.reason, exc_info=error)
            except Exception as error:  # a round that fails must not be the last one
                log.error("reconciling failed", exc_info=error)
            await asyncio.sleep(_NEXT if more else self._settings.reconcile_every)

    async def reconcile(self, patience: float) -> bool:
        """One round: nudge what has not moved for `patience` seconds.

        Returns
        -------
        Whether there is probably more than one round could take.

        Raises
        ------
        Retry
            Database or broker are away.
        """
        nudged = await self._nudge(
            "file", CLASSIFIER_RECEIVED, await self._forgotten_files(patience)
        )
        nudged |= await self._nudge(
            "transfer", CLASSIFIER_TRANSFERS, await self._forgotten_transfers(patience)
        )
        for state, queue, event in (
            (DeliveryState.ASSIGNED, ANONYMIZER_ASSIGNED, InstanceAssigned),
            (DeliveryState.ANONYMIZED, FORWARDER_ANONYMIZED, InstanceAnonymized),
        ):
            # A full queue is not a forgotten one: its messages are still there.
            if empty := await self._empty(queue):
                found = await self._forgotten_deliveries(state, empty)
                nudged |= await self._nudge(state.value, queue, [one.event(event) for one in found])
        swept = await asyncio.to_thread(self._spool.sweep_temporary, time.time() - _ABANDONED)
        if swept:
            log.warning("abandoned temporary files removed", files=swept)
        return nudged

    async def _nudge(self, kind: str, queue: Queue, events: Iterable[Event]) -> bool:
        found = list(events)
        if not found:
            return False
        telemetry.NUDGES.labels(kind).inc(len(found))
        log.info("nudging unfinished work", kind=kind, queue=queue.name, events=len(found))
        await self._bus.publish(found, producer="classifier", correlation_id="reconciler")
        return True

    async def _empty(self, queue: Queue) -> set[Priority]:
        """The priorities of which no work waits."""
        return {one.priority for one in queue.both if await self._bus.depth(one) == 0}

    async def _forgotten_files(self, patience: float) -> list[Event]:
        empty = await self._empty(CLASSIFIER_RECEIVED)
        if not empty:
            return []
        return await asyncio.to_thread(self._inbox_events, time.time() - patience, empty)

    def _inbox_events(self, older_than: float, wanted: set[Priority]) -> list[Event]:
        events: list[Event] = []
        for association_id in self._spool.waiting_associations():
            sender = self._spool.read_association(association_id)
            priority = sender.priority if sender else Priority.NORMAL
            if priority not in wanted:
                continue
            keys = self._spool.waiting_files(association_id, older_than)
            if keys:
                events += received_events(self._spool, keys[:AT_MOST])
            elif sender is None or sender.closed_at is None:
                self._end_abandoned(association_id, sender)
            elif sender.closed_at.timestamp() < older_than:
                events.append(AssociationClosed(association_id=association_id, priority=priority))
            if len(events) > AT_MOST:
                break
        return events

    def _end_abandoned(self, association_id: str, sender: Association | None) -> None:
        """Note the end of an association whose receiver was killed before it could."""
        if not self._spool.is_untouched(association_id, time.time() - _ABANDONED):
            return  # it may go on
        log.warning("abandoned association ended", association=association_id)
        if sender is None:
            self._spool.forget_association(association_id)
        else:
            ended = sender.model_copy(update={"closed_at": now()})
            self._spool.write_association(association_id, ended)

    async def _forgotten_transfers(self, patience: float) -> list[Event]:
        async with self._ledger.reading() as connection:
            rows = await connection.execute(
                select(_transfer.c.id, _transfer.c.priority)
                .where(
                    _transfer.c.state == TransferState.REQUESTED,
                    _transfer.c.requested_at <= now() - timedelta(seconds=patience),
                    ~waits_for_deletion(),
                )
                .order_by(_transfer.c.id)
                .limit(AT_MOST)
            )
            return [TransferRequested(transfer_id=row.id, priority=row.priority) for row in rows]

    async def _forgotten_deliveries(self, state: DeliveryState, wanted: set[Priority]) -> Assigned:
        """Deliveries in `state` and of these priorities that are due; the next time they are later
        and later.
        """
        moment = now()
        async with self._ledger.transaction() as connection:
            rows = (
                await connection.execute(
                    select(
                        _delivery.c.transfer_id,
                        _delivery.c.series_id,
                        _delivery.c.id,
                        _delivery.c.nudges,
                        _transfer.c.priority,
                    )
                    .join_from(_delivery, _transfer)
                    .where(
                        _delivery.c.state == state,
                        _delivery.c.due_at <= moment,
                        _transfer.c.priority.in_(wanted),
                    )
                    .order_by(_delivery.c.due_at)
                    .limit(AT_MOST)
                )
            ).all()
            by_nudges: dict[int, list[int]] = {}
            for row in rows:
                by_nudges.setdefault(row.nudges, []).append(row.id)
            for nudges, ids in by_nudges.items():
                wait = min(self._settings.patience * 2 ** (nudges + 1), _LONGEST_WAIT)
                await connection.execute(
                    update(_delivery)
                    .where(_delivery.c.id.in_(ids))
                    .values(nudges=nudges + 1, due_at=moment + timedelta(seconds=wait))
                )
        return in_batches(
            ((row.transfer_id, row.series_id, row.id) for row in rows),
            {row.transfer_id: Priority(row.priority) for row in rows},
        )

    async def _make_everything_due(self) -> None:
        async with self._ledger.transaction() as connection:
            await connection.execute(
                update(_delivery)
                .where(_delivery.c.state.in_(IN_FLIGHT))
                .values(nudges=0, due_at=now())
            )
