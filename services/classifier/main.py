"""Wires the classifier: two consumers, the reconciler, and what removes old files."""

import asyncio
from urllib.parse import urlsplit

from services.classifier.consumer import ReceivedConsumer, TransferConsumer
from services.classifier.labels import Classifier, rules_of
from services.classifier.reconciler import Reconciler
from services.classifier.retention import Retention
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
        removing = asyncio.create_task(Retention(settings, ledger, spool).run())
        await stop.wait()
        for task in (reconciling, settling, removing):
            task.cancel()
