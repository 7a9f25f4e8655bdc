"""What the doctor says."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing."""
    WARNING = "warning"
    """Works, and should be seen to."""
    WRONG = "wrong"
    """Does not work, or is not as the ledger says."""


@dataclass(frozen=True)
class Said:
    """One thing that the doctor looked at: internal ids and counts, nothing of a patient's."""

    check: str
    level: Level
    text: str
    mend: str = ""
    """What to do about it."""
    mended: bool = False

    def after_mending(self, how: str) -> "Said":
        """The same once something was done about it."""
        return replace(self, mended=True, mend=how)


def is_well(said: Iterable[Said]) -> bool:
    """Whether nothing is wrong any more."""
    return not any(one.level is Level.WRONG and not one.mended for one in said)


def as_lines(said: Iterable[Said]) -> list[str]:
    """For people to read."""
    lines = []
    for one in said:
        mark = "mended" if one.mended else one.level
        lines.append(f"{mark:8} {one.check}: {one.text}")
        if one.mend:
            lines.append(f"{'':9}→ {one.mend}")
    return lines


def as_documents(said: Iterable[Said]) -> list[dict[str, Any]]:
    """For programs."""
    return [asdict(one) for one in said]


def some(ids: Iterable[int | str], most: int = 10) -> str:
    """The first of them, and how many more there are."""
    found = list(ids)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(str, found[:most])) + more
