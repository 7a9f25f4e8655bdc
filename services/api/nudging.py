"""Publishes events for what a request has put into the ledger."""

import uuid
from collections.abc import Iterable, Sequence

from shared import telemetry
from shared.errors import Retry
from shared.events import Event, TransferRequested
from shared.ledger.transfers import priorities
from shared.runtime import Runtime

log = telemetry.logger("api")


async def nudge(
    runtime: Runtime, events: Sequence[Event], *, correlation_id: str | None = None
) -> None:
    """Publish `events`. Without the broker the request still counts: the reconciler takes it up.

    Parameters
    ----------
    correlation_id
        The journey that they belong to; a new one begins where it is left out.
    """
    journey = correlation_id or uuid.uuid4().hex
    try:
        await runtime.bus.publish(events, producer="api", correlation_id=journey)
    except Retry as error:
        log.warning("request not announced; the reconciler will find it", reason=error.reason)


async def nudge_requested(
    runtime: Runtime, transfer_ids: Iterable[int], further: Sequence[Event] = ()
) -> None:
    """Announce requested transfers, each with its priority, and what else there is."""
    wanted = list(transfer_ids)
    try:
        async with runtime.ledger.reading() as connection:
            urgent = await priorities(connection, wanted)
    except Retry as error:
        log.warning("request not announced; the reconciler will find it", reason=error.reason)
        return
    requested = [TransferRequested(transfer_id=one, priority=urgent[one]) for one in wanted]
    await nudge(runtime, [*requested, *further])
