"""Where the copies go, and that none is ever overwritten."""

import errno
import filecmp
import hashlib
import os
import re
import shutil
import stat
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.anonymizer.engine import Report
from services.anonymizer.standalone.files import name_exclusively, sync
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind, Trouble

# Legacy UIDs may hold letters; nothing that means something to a file system gets through.
_FILE_NAME = re.compile(r"[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*")
_MAX_UID = 64
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Draft:
    """A finished copy that has no name yet."""

    source: str
    target: str
    """Where it belongs, below the output folder."""
    file: Path | None
    """Where it is now; None in a dry run."""
    digest: str
    """In a dry run the SHA-256 of its bytes, else empty."""
    report: Report | None


def target_of(participant: str, study: str, series: str, instance: str) -> str | None:
    """Where a copy belongs, below the output folder; None when its UIDs can't name a file."""
    uids = (study, series, instance)
    if not all(len(uid) <= _MAX_UID and _FILE_NAME.fullmatch(uid) for uid in uids):
        return None
    return f"{participant}/{study}/{series}/{instance}.dcm"


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_trouble(error: OSError) -> Trouble:
    """What a disk's complaint comes to."""
    return Trouble.DISK_FULL if error.errno in _FULL else Trouble.READ_OR_WRITE


class Outputs:
    """The output folder during one run. As a context it takes the drafts' folder away again."""

    def __init__(self, root: Path, *, dry_run: bool = False) -> None:
        self._root = root
        self._mine: dict[str, str] = {}
        """What this run has placed, with its digest."""
        self._folders: set[Path] = set()
        """Where this run has placed something."""
        # Beside the copies, so that a draft gets its name without being copied once more.
        self.drafts: Path | None = None if dry_run else root / f".sluse-{uuid.uuid4().hex}"

    def __enter__(self) -> "Outputs":
        return self

    def prepare(self) -> None:
        """Make the folder, and in it the drafts' folder.

        Raises
        ------
        OSError
            They can't be made.
        """
        if self.drafts is not None:
            self._root.mkdir(parents=True, exist_ok=True)
            self.drafts.mkdir(mode=0o700)

    def __exit__(self, *_: object) -> None:
        if self.drafts is not None:
            shutil.rmtree(self.drafts, ignore_errors=True)
        for folder in sorted(self._folders):
            with suppress(OSError):  # some network file systems can't sync a folder
                sync(folder)

    def place(self, draft: Draft) -> Outcome:
        """Give a draft its name, unless something has that name."""
        try:
            kind, trouble = self._place(draft)
        except OSError as error:
            kind, trouble = OutcomeKind.HELD, disk_trouble(error)
        finally:
            if draft.file is not None:
                draft.file.unlink(missing_ok=True)
        output = "" if kind is OutcomeKind.HELD else draft.target
        return Outcome(draft.source, kind, output, trouble, report=draft.report)

    def _place(self, draft: Draft) -> tuple[OutcomeKind, Trouble | None]:
        is_mine, target = draft.target in self._mine, self._root / draft.target
        if not is_mine and self._is_free(draft, target):
            self._mine[draft.target] = draft.digest
            return OutcomeKind.WRITTEN, None
        if not self._is_same(draft, target):
            return OutcomeKind.HELD, Trouble.TARGET_TWICE if is_mine else Trouble.TARGET_EXISTS
        self._mine[draft.target] = draft.digest
        return OutcomeKind.TWICE if is_mine else OutcomeKind.ALREADY_THERE, None

    def _is_free(self, draft: Draft, target: Path) -> bool:
        """Whether nothing had the name `target`; then the draft has it."""
        if draft.file is None:
            return not os.path.lexists(target)
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            name_exclusively(draft.file, target)
        except FileExistsError:
            return False
        if target.parent not in self._folders:
            depth = target.relative_to(self._root).parts
            self._folders.update(list(target.parents)[: len(depth)])
        return True

    def _is_same(self, draft: Draft, target: Path) -> bool:
        """Whether what stands, or in a dry run would stand, in its place is the same copy."""
        if draft.file is None and draft.target in self._mine:
            return self._mine[draft.target] == draft.digest
        if not stat.S_ISREG(target.lstat().st_mode):
            return False
        if draft.file is None:
            return digest_of(target) == draft.digest
        return filecmp.cmp(draft.file, target, shallow=False)
