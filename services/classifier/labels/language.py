"""The rule language: what an entry says.

An entry gives its type to the images that satisfy all its conditions. Entries of one type are
alternatives. See docs/classification.md.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from graphlib import TopologicalSorter

from pydicom.datadict import dictionary_has_tag, dictionary_VR

CLASSIFY_TYPE = "ClassifyType"
"""The name under which rules read the types that the entries before them gave to the series."""
_BINARY = frozenset(
    ["AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SQ", "SS", "SV", "UL", "US", "UV"]
)
APPROX_TOLERANCE = 1e-4


class Operator(StrEnum):
    """How a condition compares."""

    REGEXP = "regexp"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    GREATER = ">"
    CONTAINS = "contains"
    IN = "in"
    APPROX = "approx"
    EXIST = "exist"
    NOT_EXIST = "notexist"


VALUELESS = frozenset({Operator.EXIST, Operator.NOT_EXIST})


@dataclass(frozen=True)
class Field:
    """What a condition reads of an image."""

    name: str
    tag: int = 0
    """0 for a fact that is not in the header. With a `creator`: the group and the low byte."""
    creator: str = ""

    @cached_property
    def is_text(self) -> bool:
        """Whether PS3.6 has it as text, so that equal bytes are equal values."""
        return (
            not self.creator
            and dictionary_has_tag(self.tag)
            and _BINARY.isdisjoint(dictionary_VR(self.tag).split())
        )


CLASSIFY_TYPE_FIELD = Field(CLASSIFY_TYPE)


@dataclass(frozen=True)
class Operand:
    """A field, or one of its values."""

    field: Field
    index: int | None = None
    """Which of the values, counted from 0; None for all."""


Value = str | tuple[str, ...] | Operand


@dataclass(frozen=True)
class Comparison:
    """A condition on a field."""

    operand: Operand
    operator: Operator
    value: Value = ""
    """One text is compared with each of the field's values, a list with all of them in order."""
    negate: bool = False
    tolerance: float = APPROX_TOLERANCE
    joined: bool = False
    """A pattern is looked for in all values, written as `a, b, c`, and not in each."""

    @property
    def reads_types(self) -> bool:
        """Whether it is about what the entries before gave to the series."""
        return CLASSIFY_TYPE_FIELD in (one.field for one in self.operands)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What it reads."""
        other = (self.value,) if isinstance(self.value, Operand) else ()
        return (self.operand, *other)


@dataclass(frozen=True)
class Reference:
    """The condition that an entry with this id holds, or with `negate` that none does."""

    id: str
    negate: bool = False


Condition = Comparison | Reference


@dataclass(frozen=True)
class Entry:
    """Gives `type` to the images that satisfy all `conditions`."""

    type: str
    conditions: tuple[Condition, ...]
    id: str = ""
    description: str = ""
    series_level: bool = False
    """The series has the type only if each of its images satisfies an entry of this type."""

    @property
    def references(self) -> Iterator[Reference]:
        """Its conditions that are references."""
        return (one for one in self.conditions if isinstance(one, Reference))

    @property
    def comparisons(self) -> Iterator[Comparison]:
        """Its conditions that are comparisons."""
        return (one for one in self.conditions if isinstance(one, Comparison))


@dataclass(frozen=True)
class RuleSet:
    """Entries that go together. Made by `checks.rule_set`."""

    name: str
    version: str
    entries: tuple[Entry, ...]

    @cached_property
    def digest(self) -> str:
        """Differs between rules that may give different types to an image."""
        meaning = [(one.type, one.id, one.conditions, one.series_level) for one in self.entries]
        return hashlib.sha256(repr(meaning).encode()).hexdigest()[:16]

    @property
    def types(self) -> list[str]:
        """All types that the entries give, sorted."""
        return sorted({entry.type for entry in self.entries})

    @cached_property
    def graph(self) -> "Graph":
        """How the entries refer to each other."""
        return Graph(self.entries)


class Graph:
    """Which entries refer to which, by position.

    Raises
    ------
    graphlib.CycleError
        The references go in a circle; its second argument is the circle.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.by_id: dict[str, list[int]] = {}
        for position, entry in enumerate(entries):
            if entry.id:
                self.by_id.setdefault(entry.id, []).append(position)
        self.targets = [
            [target for one in entry.references for target in self.by_id.get(one.id, [])]
            for entry in entries
        ]
        self.order = list(TopologicalSorter(dict(enumerate(self.targets))).static_order())
        """The entries, each after those that it refers to."""
        self.late: set[int] = set()
        """Those that ask for types, or refer to one that does: only the series has the answer."""
        for position in self.order:
            if any(one.reads_types for one in entries[position].comparisons) or not (
                self.late.isdisjoint(self.targets[position])
            ):
                self.late.add(position)
