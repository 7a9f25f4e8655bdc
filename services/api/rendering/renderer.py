"""Has pictures drawn, in processes of their own: decoders meet whatever senders have made.

Such a process has only so much memory and time, and takes nothing with it when it ends.
"""

import asyncio
import math
import multiprocessing
import resource
import signal
import threading
from pathlib import Path
from typing import NamedTuple

from pebble import ProcessExpired, ProcessPool

from services.api.rendering.cache import Cache, Outcome
from services.api.rendering.drawing import draw
from services.api.rendering.wishes import Failure, Wish
from shared import telemetry
from shared.settings import Settings

log = telemetry.logger("api")

_MEMORY = 4 << 30  # bytes of address space of a process
_RENEWED = 500  # pictures after which a process is replaced
_MOST_WAITING = 128  # pictures asked for at once; a page of series asks for as many
_TRANSIENT = (Failure.MISSING, Failure.BUSY)


class Source(NamedTuple):
    """The file that a picture is of."""

    instance_id: int
    revision: int
    path: Path


class Renderer:
    """Draws pictures and remembers them."""

    def __init__(self, settings: Settings) -> None:
        self._timeout = settings.rendering_timeout
        self._processes = settings.rendering_processes
        self._cache = Cache(settings.rendering_cache)
        self._turns = asyncio.Semaphore(self._processes)
        self._underway: dict[tuple[int, int, Wish], asyncio.Task[Outcome]] = {}
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._closed = False

    async def picture(self, source: Source, wish: Wish) -> Outcome:
        """The picture of a file, or why there is none."""
        key = (source.instance_id, source.revision, wish)
        found = self._cache.get(key)
        if found is not None:
            return found
        task = self._underway.get(key)
        if task is None:
            if len(self._underway) >= _MOST_WAITING:
                return Failure.BUSY
            task = asyncio.create_task(self._drawn(source, wish))
            self._underway[key] = task
            task.add_done_callback(lambda _: self._underway.pop(key, None))
        # Who hangs up does not end what others wait for as well.
        outcome = await asyncio.shield(task)
        if outcome not in _TRANSIENT:
            self._cache.put(key, outcome)
        return outcome

    async def _drawn(self, source: Source, wish: Wish) -> Outcome:
        try:
            await asyncio.wait_for(self._turns.acquire(), self._timeout)
        except TimeoutError:
            return Failure.BUSY
        try:
            pool = await asyncio.to_thread(self._started)
            future = pool.schedule(
                _draw, args=(source.path, wish, self._timeout), timeout=self._timeout
            )
            outcome: Outcome = await asyncio.wrap_future(future)
            return outcome
        except Exception as error:
            # Of its text nothing is kept: it may quote the image.
            name = type(error).__qualname__
            log.warning("image not drawn", instance_id=source.instance_id, why=name)
            return Failure.MISSING if _is_of_disk(error) else Failure.UNDECODABLE
        finally:
            self._turns.release()

    def _started(self) -> ProcessPool:
        """The processes, which are made when a picture needs them: the first, or after trouble."""
        with self._lock:
            if self._pool is None or not (self._pool.active or self._closed):
                self._pool = ProcessPool(
                    max_workers=self._processes,
                    max_tasks=_RENEWED,
                    initializer=_limit,
                    # Not fork: threads and sockets of the parent have no business in there.
                    context=multiprocessing.get_context("forkserver"),
                )
            return self._pool

    def close(self) -> None:
        """Stop the processes."""
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.stop()
                self._pool.join()


def _is_of_disk(error: Exception) -> bool:
    # What Pillow and pebble raise of bad images is often an OSError, too, but without a number.
    if isinstance(error, ProcessExpired | TimeoutError):
        return False
    return isinstance(error, OSError) and error.errno is not None


def _draw(path: Path, wish: Wish, seconds: float) -> Outcome:
    # Ends a decoder that hangs when nobody is left to do so: no handler, no lock is in its way.
    signal.alarm(math.ceil(seconds) + 5)
    try:
        return draw(path, wish)
    finally:
        signal.alarm(0)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what it had in memory is patient data
