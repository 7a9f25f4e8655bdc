"""The services' consumers in one line, driven by hand: for tests of what comes between them."""

from collections.abc import Iterable
from typing import Any

from services.anonymizer.consumer import AssignedConsumer
from services.anonymizer.jobs import Done, Job, do_jobs
from services.classifier.consumer import TransferConsumer
from services.forwarder.consumer import AnonymizedConsumer
from services.forwarder.destinations import Destinations
from shared.events import (
    Event,
    InstanceAnonymized,
    InstanceAssigned,
    InstanceReceived,
    TransferRequested,
)
from shared.identity import MasterKey
from shared.runtime import Runtime
from tests.helpers import handle, received_consumer


class _Inline:
    """De-identifies in this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._root = runtime.settings.spool_path

    async def do(self, jobs: list[Job]) -> list[Done]:
        return do_jobs(self._root, jobs)


class Line:
    """Classifier, anonymizer and forwarder over one runtime."""

    def __init__(self, runtime: Runtime, master_key: MasterKey) -> None:
        settings, ledger = runtime.settings, runtime.ledger
        self.destinations: Any = Destinations(settings)
        self._received = received_consumer(runtime)
        self._requested = TransferConsumer(settings, ledger)
        self._assigned = AssignedConsumer(settings, ledger, master_key, _Inline(runtime))  # type: ignore[arg-type]
        self._forwarding = AnonymizedConsumer(settings, ledger, runtime.spool, self)  # type: ignore[arg-type]

    async def send(self, work: Any) -> Any:
        """Send; `destinations` may be exchanged at any time."""
        return await self.destinations.send(work)

    async def step(self, event: Event) -> list[Event]:
        """Hand one event to its service; what that publishes."""
        consumers: dict[type[Event], Any] = {
            InstanceReceived: self._received,
            TransferRequested: self._requested,
            InstanceAssigned: self._assigned,
            InstanceAnonymized: self._forwarding,
        }
        consumer = consumers.get(type(event))
        if consumer is None:
            return []
        return [one.event() for one in (await handle(consumer, event)).published]

    async def run(self, *events: Event, until: type[Event] | None = None) -> list[Event]:
        """Hand events on, and what they lead to; the events of kind `until` go no further."""
        waiting, kept = list(events), []
        while waiting:
            event = waiting.pop(0)
            if until is not None and isinstance(event, until):
                kept.append(event)
            else:
                waiting += await self.step(event)
        return kept


def requested(transfers: Iterable[int]) -> list[Event]:
    """The events that start transfers."""
    return [TransferRequested(transfer_id=one) for one in transfers]
