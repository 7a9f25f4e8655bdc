"""Wires the anonymizer: consumers → processes."""

import asyncio

from services.anonymizer.consumer import AssignedConsumer
from services.anonymizer.pool import Pool
from services.anonymizer.previews.consumer import PreviewConsumer
from shared.runtime import Runtime


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings = runtime.settings
    master_key = await runtime.load_master_key()
    pool = Pool(settings)
    try:
        consumer = AssignedConsumer(settings, runtime.ledger, master_key, pool)
        # Two batches at a time: one is noted in the ledger while the other is worked on.
        async with (
            runtime.bus.consuming(consumer, lanes=2),
            runtime.bus.consuming(PreviewConsumer(runtime.ledger, master_key, pool)),
        ):
            await stop.wait()
    finally:
        await asyncio.to_thread(pool.close)
