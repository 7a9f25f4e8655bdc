"""A whole run: looks at all inputs, then de-identifies them; one outcome for each, in order."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.anonymizer.engine import Plan
from services.anonymizer.standalone.inputs import Input, look_up
from services.anonymizer.standalone.outcomes import Outcome, Summary
from services.anonymizer.standalone.outputs import Draft, Outputs
from services.anonymizer.standalone.patients import Patient, SeveralPatients, by_patient
from services.anonymizer.standalone.work import Task, do_all, look_at_all
from services.anonymizer.standalone.workers import Workers

TIMEOUT = 900.0
"""Seconds after which a file is given up."""


@dataclass(frozen=True)
class How:
    """How a run is done."""

    workers: int | None = None
    """Processes; None for one per core. What is made does not depend on it."""
    dry_run: bool = False
    """Write nothing."""
    detailed: bool = False
    """Let each outcome carry the whole report of its object."""
    several_patients: bool = False
    """Make one participant of whatever patients there are."""
    timeout: float = TIMEOUT
    """Seconds per file."""


def deidentify_all(
    inputs: Iterable[Path],
    output: Path,
    plan: Plan,
    *,
    workers: int | None = None,
    dry_run: bool = False,
    several_patients: bool = False,
    each: Callable[[Outcome], None] | None = None,
) -> Summary:
    """De-identify files, folders and ZIPs into the folder `output`.

    The copies are called `<participant>/<study>/<series>/<instance>.dcm`, after their new UIDs;
    what is there already is never overwritten. As every program that starts processes, a script
    calls it below `if __name__ == "__main__":`.

    Parameters
    ----------
    inputs
        Files, ZIPs, and folders with everything below them. All of one patient.
    workers
        Processes; None for one per core.
    dry_run
        Write nothing and say what would happen.
    several_patients
        Make one participant even of several patients.
    each
        Called with every outcome, in the order of the inputs; the object's whole report is in it.

    Raises
    ------
    SeveralPatients
        The inputs are of several patients, and that is not allowed. Nothing is written.
    OSError
        The output folder can't be made or written.
    """
    how = How(workers, dry_run, each is not None, several_patients)
    with begun(inputs, output, plan, how) as run:
        run.look()
        run.prepare()
        for outcome in run.outcomes():
            if each is not None:
                each(outcome)
        return run.summary


@contextmanager
def begun(inputs: Iterable[Path], output: Path, plan: Plan, how: How) -> Iterator["Run"]:
    """A run with its processes. When the block ends, however it does, no half file is left."""
    found = list(look_up(inputs, leave_out=output))
    with Outputs(output, dry_run=how.dry_run) as outputs:
        task = Task(plan, outputs.drafts, how.detailed, secrets.token_bytes(32))
        with Workers(task, how.workers, how.timeout) as workers:
            yield Run(found, outputs, workers, several_patients=how.several_patients)


class Run:
    """One run over many inputs, in three steps: `look`, `prepare` and `outcomes`.

    Parameters
    ----------
    several_patients
        Whether the inputs may be of several.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        outputs: Outputs,
        workers: Workers,
        *,
        several_patients: bool,
    ) -> None:
        self._inputs, self._outputs, self._workers = inputs, outputs, workers
        self._several_patients = several_patients
        self._seen: list[Patient | Outcome] = []
        self.summary = Summary(found=len(inputs))
        """How it went, so far."""

    def look(self, each: Callable[[], None] | None = None) -> None:
        """Look at the beginning of every input; nothing is written.

        Parameters
        ----------
        each
            Called after each.

        Raises
        ------
        SeveralPatients
            They are of several patients, and that is not allowed.
        """
        for seen in self._workers.do(look_at_all, self._inputs):
            self._seen.append(seen)
            if each is not None:
                each()
        patients = by_patient(
            [
                (source.name, seen)
                for source, seen in zip(self._inputs, self._seen, strict=True)
                if isinstance(seen, Patient)
            ]
        )
        self.summary.patients = len(patients)
        if len(patients) > 1 and not self._several_patients:
            raise SeveralPatients(patients)

    def prepare(self) -> None:
        """Make the output folder.

        Raises
        ------
        OSError
            It can't be made or written.
        """
        self._outputs.prepare()

    def outcomes(self) -> Iterator[Outcome]:
        """De-identify all images: what became of each input, in their order."""
        looked_at = list(zip(self._inputs, self._seen, strict=True))
        images = [source for source, seen in looked_at if isinstance(seen, Patient)]
        done = self._workers.do(do_all, images)
        for _, seen in looked_at:
            outcome = seen if isinstance(seen, Outcome) else self._placed(next(done))
            self.summary.add(outcome)
            yield outcome

    def _placed(self, done: Draft | Outcome) -> Outcome:
        return self._outputs.place(done) if isinstance(done, Draft) else done
