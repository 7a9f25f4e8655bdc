"""How it went: one outcome per input, and the sum of them."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.anonymizer.engine import Report
from shared.errors import Reason

FIRST_NAMES = 5
"""How many names of files are shown of those that have something in common."""


class OutcomeKind(StrEnum):
    """How one input ended."""

    WRITTEN = "written"
    ALREADY_THERE = "already-there"
    """The same copy stood in the output folder before."""
    TWICE = "twice"
    """Another input of this run gave the same copy."""
    HELD = "held"
    """No copy was made: a person must look."""
    SKIPPED = "skipped"
    """Nothing to de-identify."""


class Skip(StrEnum):
    """Why an input is no image; the value is what people read."""

    DICOMDIR = "DICOMDIR"
    NOT_DICOM = "not DICOM"


class Trouble(StrEnum):
    """Why there is no copy of an input, beyond the reasons that every service knows."""

    UNREADABLE_FILE = "unreadable-file"
    READ_OR_WRITE = "read-or-write"
    DISK_FULL = "disk-full"
    TARGET_EXISTS = "target-exists"
    TARGET_TWICE = "target-twice"
    ZIP_UNREADABLE = "zip-unreadable"
    ZIP_LOCKED = "zip-locked"
    ZIP_INSIDE = "zip-inside"
    ZIP_TOO_LARGE = "zip-too-large"

    @property
    def in_words(self) -> str:
        """The sentence that people read, without patient data."""
        return _WORDS[self]


_WORDS = {
    Trouble.UNREADABLE_FILE: "The file or folder can't be read.",
    Trouble.READ_OR_WRITE: "The file can't be read, or its copy can't be written.",
    Trouble.DISK_FULL: "The disk is full. Free some space and run the same command again.",
    Trouble.TARGET_EXISTS: "Another copy of this image, with other content, is in the output "
    "folder. It was left as it is.",
    Trouble.TARGET_TWICE: "The input holds this image twice, with different content. The first one "
    "was taken.",
    Trouble.ZIP_UNREADABLE: "The ZIP, or this file in it, can't be read.",
    Trouble.ZIP_LOCKED: "The ZIP is locked with a password. Unpack it first.",
    Trouble.ZIP_INSIDE: "A ZIP inside a ZIP is not opened. Unpack it first.",
    Trouble.ZIP_TOO_LARGE: "The ZIP would grow beyond all measure. Unpack it yourself if you "
    "trust it.",
}


@dataclass(frozen=True)
class Outcome:
    """How one input ended."""

    source: str
    """The input's name, fit for a terminal."""
    kind: OutcomeKind
    output: str = ""
    """The copy, below the output folder."""
    reason: Reason | Trouble | Skip | None = None
    detail: str = ""
    report: Report | None = None

    @property
    def in_words(self) -> str:
        """Why it was held or skipped."""
        return getattr(self.reason, "in_words", str(self.reason or ""))

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON has it; names of files are the user's own."""
        return {
            "input": self.source,
            "outcome": str(self.kind),
            "output": self.output or None,
            "reason": str(self.reason) if self.reason else None,
            "in_words": self.in_words,
            "detail": self.detail,
            "warnings": list(getattr(self.report, "warnings", [])),
            "changes": [vars(change) for change in getattr(self.report, "changes", [])],
        }


@dataclass
class Files:
    """Files that have something in common."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    """The names of the first few."""

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < FIRST_NAMES:
            self.first.append(name)

    def extend(self, others: "Files") -> None:
        """Count all of `others` too."""
        self.count += others.count
        self.first = (self.first + others.first)[:FIRST_NAMES]


@dataclass
class Summary:
    """How a run went."""

    found: int = 0
    """Inputs, whatever they are."""
    patients: int = 0
    """How many the images are of, as far as they say so."""
    counts: Counter[OutcomeKind] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    """By what they are."""
    held: dict[str, Files] = field(default_factory=dict)
    """By the reason, in words."""
    warnings: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[outcome.kind] += 1
        self.warnings += len(getattr(outcome.report, "warnings", []))
        if outcome.kind is OutcomeKind.SKIPPED:
            self.skipped[outcome.in_words] += 1
        elif outcome.kind is OutcomeKind.HELD:
            self.held.setdefault(outcome.in_words, Files()).add(outcome.source)

    @property
    def seen(self) -> int:
        """How many inputs have been dealt with."""
        return self.counts.total()

    @property
    def complete(self) -> bool:
        """Whether there were images, and each of them has its copy."""
        images = self.found - self.counts[OutcomeKind.SKIPPED]
        return images > 0 and self.seen == self.found and not self.counts[OutcomeKind.HELD]

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        return {
            "found": self.found,
            "not_reached": self.found - self.seen,
            "patients": self.patients,
            **{kind.value: self.counts[kind] for kind in OutcomeKind},
            "warnings": self.warnings,
            "skipped_by_kind": dict(sorted(self.skipped.items())),
            "held_by_reason": {
                words: {"count": files.count, "first": files.first}
                for words, files in sorted(self.held.items())
            },
        }
