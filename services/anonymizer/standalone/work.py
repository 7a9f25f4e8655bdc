"""What a process of a run does: looks at inputs, and makes drafts of their copies.

A file that takes the process down takes nothing else down.
"""

import logging
import os
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from services.anonymizer.engine import Plan, Report, deidentify
from services.anonymizer.processes import live_with_parent
from services.anonymizer.standalone.files import sync
from services.anonymizer.standalone.inputs import HEAD_BYTES, Input, verdict_on
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind, Skip, Trouble
from services.anonymizer.standalone.outputs import Draft, digest_of, disk_trouble, target_of
from services.anonymizer.standalone.patients import LAST_TAG, Patient, patient_in
from services.anonymizer.standalone.zips import ZipTrouble, copy_member, read_head
from shared.errors import Reason, Reject
from shared.header import Header, read_header

_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
# Of a ZIP's member, to look at it. Odd, so that no element of legal length ends where it is cut.
_BEGINNING = (1 << 16) - 1
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Task:
    """What is the same for all files of a run."""

    plan: Plan
    drafts: Path | None
    """Where finished copies wait for their names; None in a dry run."""
    detailed: bool
    """Whether the report of each object is wanted."""
    secret: bytes = field(repr=False)
    """Of this run: patients are compared under it."""


_task: Task


def begin(task: Task) -> None:
    """What a new process does first: fall silent, and end when its parent is gone."""
    global _task
    _task = task
    # What libraries say may quote the files.
    logging.disable()
    warnings.simplefilter("ignore")
    live_with_parent()


def look_at_all(inputs: Sequence[Input]) -> list[Patient | Outcome]:
    """Look at files one after the other."""
    return [look_at(one, _task.secret) for one in inputs]


def do_all(inputs: Sequence[Input]) -> list[Draft | Outcome]:
    """De-identify files one after the other."""
    # Synced together at the end: that spares the file system most of its journal's work.
    return [_synced(one) for one in [do(one, _task) for one in inputs]]


def look_at(source: Input, secret: bytes) -> Patient | Outcome:
    """Whose image a file is, or why it is none that can be de-identified."""
    return _answer(source, lambda: _looked_at(source, secret))


def do(source: Input, task: Task) -> Draft | Outcome:
    """De-identify one image: a draft, or why there is none."""
    return _answer(source, lambda: _draft(source, task))


def _answer(source: Input, work: Callable[[], _Answer]) -> _Answer | Outcome:
    """What `work` gives, or what became of the file because it can't be read, or written."""
    try:
        return work()
    except Reject as error:
        return _held(source, error.reason, error.detail)
    except ZipTrouble as error:
        return _held(source, error.trouble)
    except OSError as error:
        return _held(source, disk_trouble(error), os.strerror(error.errno) if error.errno else "")


def _held(source: Input, reason: Reason | Trouble, detail: str = "") -> Outcome:
    return Outcome(source.name, OutcomeKind.HELD, reason=reason, detail=detail)


def _looked_at(source: Input, secret: bytes) -> Patient | Outcome:
    try:
        head = b"" if source.verdict else _head_of(source)
    except OSError:
        return _held(source, Trouble.UNREADABLE_FILE)
    verdict = source.verdict or verdict_on(head[:HEAD_BYTES], source)
    if isinstance(verdict, Skip):
        return Outcome(source.name, OutcomeKind.SKIPPED, reason=verdict)
    if verdict is not None:
        return _held(source, verdict)
    return patient_in(_header_of(source, head), secret)


def _head_of(source: Input) -> bytes:
    if source.member is not None:
        return read_head(source.path, source.member, _BEGINNING)
    with source.path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _header_of(source: Input, head: bytes) -> Header:
    if source.member is not None:
        # Most often the beginning is enough; else all of it is unpacked.
        try:
            with tempfile.TemporaryFile() as file:
                file.write(head)
                file.flush()
                return read_header(Path(f"/dev/fd/{file.fileno()}"), stop_after=LAST_TAG)
        except Reject:
            if len(head) < _BEGINNING:
                raise
    with _original(source) as path:
        return read_header(path, stop_after=LAST_TAG)


def _draft(source: Input, task: Task) -> Draft:
    with _original(source) as original, _target(task.drafts) as (file, path):
        report = deidentify(original, file, task.plan, explain=task.detailed)
        file.flush()
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
            path if task.drafts is not None else None,
            digest_of(path) if task.drafts is None else "",
            report if task.detailed else _only_warnings(report),
        )


def _synced(done: Draft | Outcome) -> Draft | Outcome:
    """The same once its bytes survive a power cut."""
    if isinstance(done, Outcome) or done.file is None:
        return done
    try:
        sync(done.file)
    except OSError as error:
        done.file.unlink(missing_ok=True)
        return Outcome(done.source, OutcomeKind.HELD, reason=disk_trouble(error))
    return done


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
