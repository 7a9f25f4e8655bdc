"""Wires the anonymizer: consumer → processes."""

import asyncio

from services.anonymizer.consumer import AssignedConsumer
from services.anonymizer.pool import Pool
from shared.runtime import Runtime


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings = runtime.settings
    pool = Pool(settings.spool_path, settings.workers, settings.instance_timeout)
    try:
        consumer = AssignedConsumer(settings, runtime.ledger, runtime.master_key, pool)
        # Two batches at a time: one is noted in the ledger while the other is worked on.
        async with runtime.bus.consuming(consumer, lanes=2):
            await stop.wait()
    finally:
        await asyncio.to_thread(pool.close)
