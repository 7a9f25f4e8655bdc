"""What a process of a run does: inputs in, drafts of copies out.

A file that takes the process down takes nothing else down.
"""

import logging
import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.anonymizer.engine import Plan, Report, deidentify
from services.anonymizer.processes import live_with_parent
from services.anonymizer.standalone.inputs import HEAD_BYTES, Input, verdict_on
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind, Skip, Trouble
from services.anonymizer.standalone.outputs import Draft, digest_of, disk_trouble, target_of
from services.anonymizer.standalone.zips import ZipTrouble, copy_member, read_head
from shared.errors import Reason, Reject
from shared.header import read_header

_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018


@dataclass(frozen=True)
class Task:
    """What is the same for all files of a run."""

    plan: Plan
    drafts: Path | None
    """Where finished copies wait for their names; None in a dry run."""
    detailed: bool
    """Whether the report of each object is wanted."""


_task: Task


def begin(task: Task) -> None:
    """What a new process does first: fall silent, and end when its parent is gone."""
    global _task
    _task = task
    # What libraries say may quote the files.
    logging.disable()
    warnings.simplefilter("ignore")
    live_with_parent()


def do_all(inputs: Sequence[Input]) -> list[Draft | Outcome]:
    """De-identify files one after the other."""
    return [do(one, _task) for one in inputs]


def do(source: Input, task: Task) -> Draft | Outcome:
    """De-identify one file: a draft, or why there is none."""
    try:
        verdict = source.verdict or verdict_on(_head_of(source), source)
    except ZipTrouble as error:
        verdict = error.trouble
    except OSError:
        verdict = Trouble.UNREADABLE_FILE
    if isinstance(verdict, Skip):
        return Outcome(source.name, OutcomeKind.SKIPPED, reason=verdict)
    if verdict is not None:
        return _held(source, verdict)
    try:
        return _draft(source, task)
    except Reject as error:
        return _held(source, error.reason, error.detail)
    except ZipTrouble as error:
        return _held(source, error.trouble)
    except OSError as error:
        return _held(source, disk_trouble(error), os.strerror(error.errno) if error.errno else "")


def _held(source: Input, reason: Reason | Trouble, detail: str = "") -> Outcome:
    return Outcome(source.name, OutcomeKind.HELD, reason=reason, detail=detail)


def _head_of(source: Input) -> bytes:
    if source.member is not None:
        return read_head(source.path, source.member, HEAD_BYTES)
    with source.path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _draft(source: Input, task: Task) -> Draft | Outcome:
    with _original(source) as original, _target(task.drafts) as (file, path):
        report = deidentify(original, file, task.plan, explain=task.detailed)
        file.flush()
        if task.drafts is not None:
            os.fsync(file.fileno())
        header = read_header(path, stop_after=_SERIES)
        target = target_of(
            task.plan.participant,
            *(header.text(tag) or "" for tag in (_STUDY, _SERIES, _INSTANCE)),
        )
        if target is None:
            raise Reject(Reason.MISSING_UID if not header.text(_SERIES) else Reason.ILLEGAL_UID)
        return Draft(
            source.name,
            target,
            digest_of(path),
            path if task.drafts is not None else None,
            report if task.detailed else _only_warnings(report),
        )


def _only_warnings(report: Report) -> Report | None:
    return Report(warnings=report.warnings) if report.warnings else None


@contextmanager
def _original(source: Input) -> Iterator[Path]:
    """The original as a file with a path."""
    if source.member is None:
        yield source.path
        return
    # Without a name, so that however the process ends no original is left lying about.
    with tempfile.TemporaryFile() as copy:
        copy_member(source.path, source.member, copy)
        copy.flush()
        copy.seek(0)
        yield Path(f"/dev/fd/{copy.fileno()}")


@contextmanager
def _target(drafts: Path | None) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file, and its path; it goes when the block ends with an exception."""
    if drafts is None:
        with tempfile.TemporaryFile() as file:
            yield file, Path(f"/dev/fd/{file.fileno()}")
        return
    path = drafts / uuid.uuid4().hex
    try:
        with path.open("xb") as file:
            yield file, path
    except BaseException:
        path.unlink(missing_ok=True)
        raise
