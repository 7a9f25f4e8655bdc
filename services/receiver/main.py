"""Wires the receiver: SCP → inbox → announcer."""

import asyncio

from services.receiver import processes
from services.receiver.announcer import Announcer
from services.receiver.commitment import Commitments
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.reports import Reports
from services.receiver.scp import StorageScp
from shared import telemetry
from shared.dimse.commitment import PUSH_MODEL
from shared.dimse.messages import Service
from shared.errors import Retry
from shared.runtime import Runtime
from shared.settings import Durability

log = telemetry.logger("receiver")


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings = runtime.settings
    if settings.receiver_processes > 1:
        return await processes.supervise(settings, stop, runtime.opened)
    door = Door(settings.ae_title, settings.peers, runtime.ledger)
    refusals = Refusals(runtime.ledger)
    announcer = Announcer(
        runtime.bus,
        runtime.spool,
        settings.flush_after,
        syncing=settings.durability is Durability.BATCH,
    )
    loop = asyncio.get_running_loop()
    commitments = Commitments(settings, runtime.ledger, runtime.spool, loop)
    reports = Reports(runtime.ledger, loop, settings.network_timeout)
    both = Service(PUSH_MODEL, commitments.handlers | reports.handlers)
    scp = StorageScp(
        settings, runtime.spool, announcer, runtime.pressure, door, refusals.add, [both]
    )
    try:
        await door.refresh()
    except Retry as error:
        log.warning("starting with Sluse's own AE title only", reason=error.reason)
    tasks = [
        asyncio.create_task(door.keep_fresh(settings.ae_refresh)),
        asyncio.create_task(refusals.keep_writing()),
        asyncio.create_task(commitments.run()),
        asyncio.create_task(runtime.pressure.watch(runtime.ledger, runtime.spool)),
    ]
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
