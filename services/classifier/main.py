"""Wires the classifier: two consumers and the reconciler."""

import asyncio
from urllib.parse import urlsplit

from services.classifier.consumer import ReceivedConsumer, TransferConsumer
from services.classifier.labels import Classifier, rules_of
from services.classifier.reconciler import Reconciler
from services.classifier.settling import Settling
from shared.runtime import Runtime


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings, bus, ledger, spool = runtime.settings, runtime.bus, runtime.ledger, runtime.spool
    master_key = await runtime.load_master_key()
    classifier = Classifier(rules_of(settings.classification_rules))
    reconciler = Reconciler(settings, bus, ledger, spool)
    starts_empty = urlsplit(settings.bus_url.get_secret_value()).scheme == "memory"
    async with (
        bus.consuming(ReceivedConsumer(settings, ledger, spool, master_key, classifier)),
        bus.consuming(TransferConsumer(settings, ledger)),
    ):
        reconciling = asyncio.create_task(reconciler.run(starts_empty=starts_empty))
        settling = asyncio.create_task(Settling(settings, bus, ledger).run())
        await stop.wait()
        reconciling.cancel()
        settling.cancel()
