"""A whole run: many inputs over several processes, one outcome for each, in a fixed order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from pebble import ProcessPool

from services.anonymizer.engine import Plan
from services.anonymizer.standalone.inputs import Input, look_up
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind, Summary
from services.anonymizer.standalone.outputs import Draft, Outputs
from services.anonymizer.standalone.work import Task, begin, do_all
from shared.errors import Reason

CHUNK = 8
"""Inputs that go to a process at a time."""
_CHUNKS_AHEAD = 4  # for each process: enough that none waits, few enough drafts that wait
TIMEOUT = 900.0
"""Seconds after which a file is given up."""


@dataclass(frozen=True)
class How:
    """How a run is done; what it makes does not depend on it."""

    workers: int | None = None
    """Processes; None for one per core."""
    dry_run: bool = False
    """Write nothing."""
    detailed: bool = False
    """Let each outcome carry the whole report of its object."""
    timeout: float = TIMEOUT
    """Seconds per file."""


def deidentify_all(
    inputs: Iterable[Path],
    output: Path,
    plan: Plan,
    *,
    workers: int | None = None,
    dry_run: bool = False,
    each: Callable[[Outcome], None] | None = None,
) -> Summary:
    """De-identify files, folders and ZIPs into the folder `output`.

    The copies are called `<participant>/<study>/<series>/<instance>.dcm`, after their new UIDs;
    what is there already is never overwritten. As every program that starts processes, a script
    calls it below `if __name__ == "__main__":`.

    Parameters
    ----------
    inputs
        Files, ZIPs, and folders with everything below them.
    workers
        Processes; None for one per core.
    dry_run
        Write nothing and say what would happen.
    each
        Called with every outcome, in the order of the inputs; the object's whole report is in it.

    Raises
    ------
    OSError
        The output folder can't be made or written.
    """
    found = list(look_up(inputs, leave_out=output))
    summary = Summary(found=len(found))
    how = How(workers, dry_run, detailed=each is not None)
    with closing(outcomes(found, output, plan, how)) as all_outcomes:
        for outcome in all_outcomes:
            summary.add(outcome)
            if each is not None:
                each(outcome)
    return summary


def outcomes(
    inputs: Sequence[Input], output: Path, plan: Plan, how: How
) -> Generator[Outcome, None, None]:
    """What became of each input, in their order.

    Closed early, the processes stop and no half file is left.

    Raises
    ------
    OSError
        The output folder can't be made or written.
    """
    with (
        Outputs(output, dry_run=how.dry_run) as outputs,
        _Processes(Task(plan, outputs.drafts, how.detailed), how) as processes,
    ):
        for done in processes.do(inputs):
            yield outputs.place(done) if isinstance(done, Draft) else done


class _Processes:
    """Processes that de-identify, each file's damage kept to itself."""

    def __init__(self, task: Task, how: How) -> None:
        self._timeout = how.timeout
        self._workers = how.workers or os.cpu_count() or 1
        _start_deaf()
        self._pool = ProcessPool(
            max_workers=self._workers,
            initializer=begin,
            initargs=(task,),
            # Not fork: threads of the caller have no business in there.
            context=multiprocessing.get_context("forkserver"),
        )

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def do(self, inputs: Sequence[Input]) -> Iterator[Draft | Outcome]:
        """What became of each input, in their order: two runs take the same of two rivals."""
        waiting: deque[tuple[Sequence[Input], Any]] = deque()
        for start in range(0, len(inputs), CHUNK):
            waiting.append(self._begin(inputs[start : start + CHUNK]))
            if len(waiting) > self._workers * _CHUNKS_AHEAD:
                yield from self._finish(*waiting.popleft())
        while waiting:
            yield from self._finish(*waiting.popleft())

    def _begin(self, chunk: Sequence[Input]) -> tuple[Sequence[Input], Any]:
        return chunk, self._pool.schedule(do_all, args=(chunk,), timeout=self._timeout)

    def _finish(self, chunk: Sequence[Input], future: Any) -> Iterator[Draft | Outcome]:
        # A chunk that fails is done again file by file, so that only the one that is to blame is
        # held.
        try:
            yield from future.result()
        except Exception as error:
            # The process died, or took too long, or the engine has a fault: the others go on.
            if len(chunk) == 1:
                yield _crashed(chunk[0], error)
                return
            for again in [self._begin([one]) for one in chunk]:
                yield from self._finish(*again)


def _crashed(source: Input, error: Exception) -> Outcome:
    return Outcome(
        source.name,
        OutcomeKind.HELD,
        reason=Reason.ENGINE_CRASHED,
        detail=type(error).__qualname__,
    )


def _start_deaf() -> None:
    """Start the server of processes with Ctrl-C ignored; its processes inherit that.

    They would print a traceback each if it came before they can ignore it themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
