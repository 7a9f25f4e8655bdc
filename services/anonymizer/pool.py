"""The de-identification processes: work off the event loop, each file's damage kept to itself."""

import asyncio
import multiprocessing
import os
from collections.abc import Iterable

from pebble import ProcessExpired, ProcessPool

from services.anonymizer.jobs import Done, Job, begin, do_jobs
from services.anonymizer.previews.job import PreviewJob, PreviewMade, make_preview
from shared import telemetry
from shared.errors import Reason
from shared.settings import Settings

log = telemetry.logger("anonymizer")

CHUNK = 8
"""Jobs that go to a process at a time."""
_PREVIEW_TIMEOUT = 60.0
"""Seconds that a preview may take at most: somebody waits for it."""


class Pool:
    """Processes that run the engine: `workers` of them, `instance_timeout` seconds per image."""

    def __init__(self, settings: Settings) -> None:
        self._spool_root, self._timeout = settings.spool_path, settings.instance_timeout
        self._pool = ProcessPool(
            max_workers=settings.workers or os.cpu_count() or 1,
            initializer=begin,
            initargs=(settings,),
            # Not fork: threads and sockets of the parent have no business in there.
            context=multiprocessing.get_context("forkserver"),
        )

    async def do(self, jobs: list[Job]) -> list[Done]:
        """Do all jobs; one that takes its process down, or too long, is held."""
        chunks = (jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK))
        return _flat(await asyncio.gather(*map(self._do_chunk, chunks)))

    async def _do_chunk(self, jobs: list[Job]) -> list[Done]:
        # A chunk that takes longer than one image may is done again image by image, so that one
        # that hangs is found after two timeouts and not after as many as there are images.
        future = self._pool.schedule(do_jobs, args=(self._spool_root, jobs), timeout=self._timeout)
        try:
            done: list[Done] = await asyncio.wrap_future(future)
            return done
        except (ProcessExpired, TimeoutError) as error:
            if len(jobs) > 1:
                return _flat(await asyncio.gather(*(self._do_chunk([job]) for job in jobs)))
            log.error("image stopped its process", delivery=jobs[0].delivery_id, exc_info=error)
            return [
                Done(
                    jobs[0].delivery_id,
                    held=Reason.ENGINE_CRASHED,
                    detail=type(error).__qualname__,
                )
            ]

    async def preview(self, job: PreviewJob) -> PreviewMade:
        """Make a preview; an original that takes the process down, or too long, would be held."""
        timeout = min(self._timeout, _PREVIEW_TIMEOUT)
        future = self._pool.schedule(make_preview, args=(self._spool_root, job), timeout=timeout)
        try:
            made: PreviewMade = await asyncio.wrap_future(future)
            return made
        except (ProcessExpired, TimeoutError) as error:
            return PreviewMade(held=Reason.ENGINE_CRASHED, detail=type(error).__qualname__)

    def close(self) -> None:
        """Stop the processes, without finishing what they do."""
        self._pool.stop()
        self._pool.join()


def _flat(lists: Iterable[list[Done]]) -> list[Done]:
    return [done for some in lists for done in some]
