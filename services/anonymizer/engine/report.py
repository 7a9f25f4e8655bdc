"""What was done to one object and why, without a single original value."""

from dataclasses import asdict, dataclass, field
from typing import Any


def element_path(*steps: int) -> str:
    """Where an element stands, as people read it.

    Parameters
    ----------
    steps
        The tag of a sequence and the number of its item, counted from 1, for each level; last the
        element's own tag. `(0x00400275, 1, 0x00080050)` gives `(0040,0275)[1].(0008,0050)`.
    """
    tags = [f"({tag >> 16:04x},{tag & 0xFFFF:04x})" for tag in steps[::2]]
    items = [f"[{number}]." for number in steps[1::2]]
    return "".join(tag + item for tag, item in zip(tags, [*items, ""], strict=True))


@dataclass(frozen=True)
class Change:
    """What was done to one element. Holds no original value."""

    path: str
    """Where it stands: `(0008,0050)`, or in the first item of a sequence
    `(0040,0275)[1].(0008,0050)`."""
    action: str
    """What was done, in the words of the table where it has one."""
    why: str
    """The rule, or what was found."""


@dataclass
class Report:
    """What was done to one object, and what was remarkable about it. Holds no original values."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        return asdict(self)
