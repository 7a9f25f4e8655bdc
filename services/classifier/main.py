"""Wires the classifier: two consumers and the reconciler."""

import asyncio
from urllib.parse import urlsplit

from services.classifier.consumer import ReceivedConsumer, TransferConsumer
from services.classifier.reconciler import Reconciler
from shared.runtime import Runtime


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings, bus, ledger, spool = runtime.settings, runtime.bus, runtime.ledger, runtime.spool
    reconciler = Reconciler(settings, bus, ledger, spool)
    starts_empty = urlsplit(settings.bus_url.get_secret_value()).scheme == "memory"
    async with (
        bus.consuming(ReceivedConsumer(settings, ledger, spool)),
        bus.consuming(TransferConsumer(settings, ledger)),
    ):
        reconciling = asyncio.create_task(reconciler.run(starts_empty=starts_empty))
        await stop.wait()
        reconciling.cancel()
