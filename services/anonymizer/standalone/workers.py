"""The processes of a run: each file's damage is kept to itself, and answers come in order."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pebble import ProcessPool

from services.anonymizer.processes import start_server
from services.anonymizer.standalone.inputs import Input
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind
from services.anonymizer.standalone.work import Task, begin
from shared.errors import Reason

CHUNK = 32
"""Most inputs that go to a process at a time."""
_CHUNKS_AHEAD = 4  # for each process: enough that none waits, few enough drafts that wait

Work = Callable[[Sequence[Input]], list[Any]]
"""Gives an answer for each input. Runs in a process of the run."""


class Workers:
    """Processes that work on files; as a context they end with it.

    Parameters
    ----------
    timeout
        Seconds after which a file is given up.
    """

    def __init__(self, task: Task, workers: int | None, timeout: float) -> None:
        self._timeout = timeout
        self._workers = workers or os.cpu_count() or 1
        start_server()
        self._pool = ProcessPool(
            max_workers=self._workers,
            initializer=begin,
            initargs=(task,),
            # Not fork: threads of the caller have no business in there.
            context=multiprocessing.get_context("forkserver"),
        )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def do(self, work: Work, inputs: Sequence[Input]) -> Iterator[Any]:
        """The answer for each input, in their order, whichever process is done first."""
        waiting: deque[tuple[Sequence[Input], Any]] = deque()
        # Of few inputs, too, each process gets its part.
        at_a_time = min(CHUNK, -(-len(inputs) // self._workers) or 1)
        for start in range(0, len(inputs), at_a_time):
            waiting.append(self._begin(work, inputs[start : start + at_a_time]))
            if len(waiting) > self._workers * _CHUNKS_AHEAD:
                yield from self._finish(work, *waiting.popleft())
        while waiting:
            yield from self._finish(work, *waiting.popleft())

    def _begin(self, work: Work, chunk: Sequence[Input]) -> tuple[Sequence[Input], Any]:
        return chunk, self._pool.schedule(work, args=(chunk,), timeout=self._timeout)

    def _finish(self, work: Work, chunk: Sequence[Input], future: Any) -> Iterator[Any]:
        # A chunk that fails is done again file by file, so that only the one that is to blame is
        # held.
        try:
            yield from future.result()
        except Exception as error:
            # The process died, or took too long, or the engine has a fault: the others go on.
            if len(chunk) == 1:
                yield _crashed(chunk[0], error)
                return
            for again in [self._begin(work, [one]) for one in chunk]:
                yield from self._finish(work, *again)


def _crashed(source: Input, error: Exception) -> Outcome:
    return Outcome(
        source.name,
        OutcomeKind.HELD,
        reason=Reason.ENGINE_CRASHED,
        detail=type(error).__qualname__,
    )
