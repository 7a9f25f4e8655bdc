"""Wires the forwarder: consumer → destinations."""

import asyncio

from services.forwarder.consumer import AnonymizedConsumer
from services.forwarder.destinations import Destinations
from services.forwarder.recalls import Recalls
from services.forwarder.verification import Verifier
from shared.runtime import Runtime


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    destinations = Destinations(runtime.settings)
    consumer = AnonymizedConsumer(runtime.settings, runtime.ledger, runtime.spool, destinations)
    recalls = Recalls(runtime.settings, runtime.bus, runtime.ledger)
    verifier = Verifier(runtime.settings, runtime.bus, runtime.ledger)
    tasks = [
        asyncio.create_task(one)
        for one in (destinations.release_idle(), recalls.run(), verifier.run())
    ]
    try:
        # Two batches at a time: one is noted in the ledger while the other is sent.
        async with runtime.bus.consuming(consumer, lanes=2):
            await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(destinations.close)
