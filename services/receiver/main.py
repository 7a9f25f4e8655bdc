"""Wires the receiver: SCP → inbox → announcer."""

import asyncio

from services.receiver import processes
from services.receiver.announcer import Announcer
from services.receiver.scp import StorageScp
from services.receiver.titles import CalledTitles
from shared import telemetry
from shared.errors import Retry
from shared.runtime import Runtime
from shared.settings import Durability

log = telemetry.logger("receiver")


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings = runtime.settings
    if settings.receiver_processes > 1:
        return await processes.supervise(settings, stop, runtime.opened)
    titles = CalledTitles(settings.ae_title, runtime.ledger)
    announcer = Announcer(
        runtime.bus,
        runtime.spool,
        settings.flush_after,
        syncing=settings.durability is Durability.BATCH,
    )
    scp = StorageScp(settings, runtime.spool, announcer, titles)
    try:
        await titles.refresh()
    except Retry as error:
        log.warning("starting with Sluse's own AE title only", reason=error.reason)
    tasks = [asyncio.create_task(titles.keep_fresh(settings.ae_refresh))]
    if settings.receiver_parent:
        tasks.append(asyncio.create_task(processes.end_with(settings.receiver_parent, stop)))
    scp.start()
    runtime.opened("DICOM", scp.port)
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(scp.stop)
        await announcer.drain()
