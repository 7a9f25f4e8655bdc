"""Writes the report of a run while it runs: however many files, no more memory."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from services.anonymizer.engine import Plan
from services.anonymizer.standalone.files import private_text
from services.anonymizer.standalone.outcomes import Outcome, Summary


class ReportFile:
    """The report on its way: a JSON object with `plan`, `files` and `summary`."""

    def __init__(self, file: TextIO, plan: Plan, *, dry_run: bool) -> None:
        self._file, self._first = file, True
        head = {
            "project": plan.project,
            "participant": plan.participant,
            "event": plan.event,
            "site": plan.site,
            "scheme": str(plan.scheme),
            "dry_run": dry_run,
        }
        self._file.write(f'{{"plan": {json.dumps(head)},\n"files": [')

    def add(self, outcome: Outcome) -> None:
        """Write one more."""
        self._file.write(("\n" if self._first else ",\n") + json.dumps(outcome.as_json()))
        self._first = False

    def finish(self, summary: Summary) -> None:
        """Write the end."""
        self._file.write(f'\n],\n"summary": {json.dumps(summary.as_json(), indent=1)}}}\n')


@contextmanager
def report_to(path: Path | None, plan: Plan, *, dry_run: bool) -> Iterator[ReportFile | None]:
    """A report that appears under `path` when the block ends; None for none.

    Only its owner can read it (mode 0600): it says which file became which copy.

    Raises
    ------
    OSError
        It can't be written, or `path` exists.
    """
    if path is None:
        yield None
        return
    with private_text(path) as file:
        yield ReportFile(file, plan, dry_run=dry_run)
