"""Evaluates rules: of one image, and of the series that its images make up.

An image's outcome is the set of the entries that it satisfies. A series is the set of the distinct
outcomes of its images: batches of it merge in any order, and an image that comes twice changes
nothing. What asks for types (`ClassifyType`) is answered for the series, when its labels are asked
for.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from typing import Any

from services.classifier.labels.facts import Facts
from services.classifier.labels.language import (
    Comparison,
    Entry,
    Field,
    Operand,
    Reference,
    RuleSet,
)
from services.classifier.labels.operators import Texts, constant, test_of

Outcome = frozenset[int]
"""The positions of the entries whose conditions about the image are satisfied."""
_LONGEST_KEY = 1 << 14
"""What an image with huge values is like is not remembered, lest they fill the memory."""


@dataclass(frozen=True)
class SeriesState:
    """What the images so far say about a series. Made by a `Classifier`."""

    rules: str
    """The digest of the rules that made it."""
    outcomes: frozenset[Outcome] = frozenset()

    def __or__(self, other: "SeriesState") -> "SeriesState":
        """The images of both.

        Raises
        ------
        ValueError
            Other rules made `other`.
        """
        if other.rules != self.rules:
            raise ValueError("states that different rules made don't merge")
        return SeriesState(self.rules, self.outcomes | other.outcomes)

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {"rules": self.rules, "outcomes": sorted(sorted(one) for one in self.outcomes)}


class Classifier:
    """Rules, ready to run.

    Parameters
    ----------
    most_remembered
        How many different images are remembered, by all that the rules read of them: within a
        series most are equal in that.
    """

    def __init__(self, rules: RuleSet, *, most_remembered: int = 4096) -> None:
        self.rules = rules
        fields: dict[Field, int] = {}
        self._entries = [_Compiled(entry, rules, fields) for entry in rules.entries]
        self._steps = [(one, self._entries[one].image_conditions) for one in rules.graph.order]
        self.fields: Sequence[Field] = tuple(fields)
        """What the rules read of an image."""
        self._remembered: dict[Hashable, SeriesState] = {}
        self._most_remembered = most_remembered
        self._cached_labels = lru_cache(maxsize=1024)(self._labels)

    def image(self, facts: Facts) -> SeriesState:
        """A series of this one image."""
        key = facts.key(self.fields)
        series = self._remembered.get(key)
        if series is None:
            series = SeriesState(self.rules.digest, frozenset([self._outcome(facts)]))
            if len(self._remembered) >= self._most_remembered:
                self._remembered.clear()
            if len(repr(key)) <= _LONGEST_KEY:
                self._remembered[key] = series
        return series

    def merge(self, parts: Iterable[SeriesState]) -> SeriesState:
        """The images of all of them; associative, commutative, and each counts once."""
        return reduce(or_, parts, SeriesState(self.rules.digest))

    def labels(self, series: SeriesState) -> tuple[str, ...]:
        """The types of a series, sorted."""
        return self._cached_labels(series)

    def restore(self, document: dict[str, Any] | None) -> SeriesState | None:
        """What `SeriesState.to_json` made; None if other rules did, or there is nothing.

        Then all images of the series are to be classified again.
        """
        if not document or document.get("rules") != self.rules.digest:
            return None
        outcomes = frozenset(frozenset(one) for one in document["outcomes"])
        return SeriesState(self.rules.digest, outcomes)

    def _outcome(self, facts: Facts) -> Outcome:
        image = _Image(facts, self.fields)
        for position, conditions in self._steps:
            for holds in conditions:  # a loop, since all() takes twice the time
                if not holds(image):
                    break
            else:
                image.held.add(position)
        return frozenset(image.held)

    def _labels(self, series: SeriesState) -> tuple[str, ...]:
        types = _Types(self.rules, len(series.outcomes))
        held = [set(outcome) for outcome in series.outcomes]
        for position, entry in enumerate(self._entries):
            if entry.series_conditions:
                given = types.given()
                for one in held:
                    if not all(holds(given, one) for holds in entry.series_conditions):
                        one.discard(position)
            types.add(entry.type, [number for number, one in enumerate(held) if position in one])
        return tuple(types.given())


class _Types:
    """Which outcomes have which type, while the entries are gone through."""

    def __init__(self, rules: RuleSet, outcomes: int) -> None:
        self._checked = {entry.type for entry in rules.entries if entry.series_level}
        self._outcomes = outcomes
        self._of_type: dict[str, set[int]] = {}

    def add(self, type_: str, outcomes: list[int]) -> None:
        if outcomes:
            self._of_type.setdefault(type_, set()).update(outcomes)

    def given(self) -> list[str]:
        """The types of the series so far, sorted: a checked one needs every outcome."""
        return sorted(
            type_
            for type_, outcomes in self._of_type.items()
            if type_ not in self._checked or len(outcomes) == self._outcomes
        )


class _Image:
    """An image that is being classified; each field is read once, and only if it is asked for."""

    def __init__(self, facts: Facts, fields: Sequence[Field]) -> None:
        self._facts = facts
        self._fields = fields
        self._texts: list[Texts | None] = [None] * len(fields)
        self.held: set[int] = set()
        """The entries that it satisfies."""

    def texts(self, number: int) -> Texts:
        texts = self._texts[number]
        if texts is None:
            texts = self._texts[number] = self._facts.texts(self._fields[number])
        return texts


class _Compiled:
    """An entry's conditions as functions: those about an image, and those about the series."""

    def __init__(self, entry: Entry, rules: RuleSet, fields: dict[Field, int]) -> None:
        self.type = entry.type
        self.image_conditions: list[Callable[[_Image], bool]] = []
        self.series_conditions: list[Callable[[Texts, set[int]], bool]] = []
        for condition in entry.conditions:
            if isinstance(condition, Reference):
                self._add_reference(condition, rules)
            elif condition.reads_types:
                self.series_conditions.append(_about_types(condition))
            else:
                self.image_conditions.append(_about_image(condition, fields))

    def _add_reference(self, reference: Reference, rules: RuleSet) -> None:
        targets = frozenset(rules.graph.by_id[reference.id])
        negate = reference.negate
        if targets.isdisjoint(rules.graph.late):
            self.image_conditions.append(lambda image: targets.isdisjoint(image.held) is negate)
        else:
            self.series_conditions.append(lambda _, held: targets.isdisjoint(held) is negate)


def _about_types(comparison: Comparison) -> Callable[[Texts, set[int]], bool]:
    test, right = test_of(comparison), constant(comparison)
    return lambda types, _: test(types, right)


def _about_image(comparison: Comparison, fields: dict[Field, int]) -> Callable[[_Image], bool]:
    test, right, read = (
        test_of(comparison),
        constant(comparison),
        _reader(comparison.operand, fields),
    )
    if isinstance(comparison.value, Operand):
        read_other = _reader(comparison.value, fields)
        return lambda image: test(read(image), read_other(image))
    return lambda image: test(read(image), right)


def _reader(operand: Operand, fields: dict[Field, int]) -> Callable[[_Image], Texts]:
    number, index = fields.setdefault(operand.field, len(fields)), operand.index
    if index is None:
        return lambda image: image.texts(number)
    # One value, or none: an empty value is a missing one.
    return lambda image: [one for one in image.texts(number)[index : index + 1] if one]
