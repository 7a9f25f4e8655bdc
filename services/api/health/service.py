"""Looks at the parts of the system, each for itself."""

import asyncio
from importlib.metadata import version

from services.api.health.schemas import Check, Health, Part
from services.api.pipeline import service as pipeline
from services.api.pipeline.schemas import Pipeline
from shared.bus import QUEUES
from shared.errors import Retry
from shared.ledger.schema import current_revision
from shared.ledger.states import TransferState
from shared.runtime import Runtime


async def read(runtime: Runtime) -> Health:
    """How the system is; what does not answer is said, and keeps nothing else from being said."""
    checks = [await _broker(runtime), await _disk(runtime), _backlog(runtime)]
    try:
        revision = await current_revision(runtime.ledger)
        figures = await pipeline.read_ledger(runtime.ledger, {})
    except Retry:
        checks.insert(0, Check(part=Part.DATABASE, ok=False, detail="It does not answer."))
    else:
        answers = f"It answers, schema {revision}."
        checks.insert(0, Check(part=Part.DATABASE, ok=True, detail=answers))
        checks += _work(figures)
    return Health(
        ok=all(one.ok for one in checks),
        version=version("sluse"),
        ae_title=runtime.settings.ae_title,
        checks=checks,
    )


async def _broker(runtime: Runtime) -> Check:
    try:
        depths = [await runtime.bus.depth(queue) for queue in QUEUES]
    except Retry:
        words = "It does not answer; nothing is lost, and work goes on when it does."
        return Check(part=Part.BROKER, ok=False, detail=words)
    return Check(part=Part.BROKER, ok=True, detail=f"It answers; messages waiting: {sum(depths)}.")


async def _disk(runtime: Runtime) -> Check:
    disk = await asyncio.to_thread(runtime.pressure.disk)
    if disk is None:
        return Check(part=Part.DISK, ok=False, detail="It can't be read.")
    free = f"{disk.free / disk.total:.0%} free."
    if disk.stopped:
        free = f"{free} No images are taken until there is more room."
    return Check(part=Part.DISK, ok=not disk.low, detail=free)


def _backlog(runtime: Runtime) -> Check:
    found = runtime.pressure.backlog
    words = f"Images to be worked off: {found.images}."
    if found.stopped:
        words = f"{words} No new senders are let in until there are fewer."
    return Check(part=Part.BACKLOG, ok=not found.stopped, detail=words)


def _work(figures: Pipeline) -> list[Check]:
    waiting = {
        Part.DEAD_LETTERS: (figures.dead_letters, "wait for a decision"),
        Part.QUARANTINE: (figures.arrivals.quarantined, "files could not be read"),
        Part.TRANSFERS: (figures.transfers.get(TransferState.ATTENTION, 0), "need a person"),
        Part.DELETIONS: (figures.to_be_deleted, "are to be made by hand"),
    }
    return [
        Check(part=part, ok=not count, detail=f"{count} {words}." if count else "None waits.")
        for part, (count, words) in waiting.items()
    ]
