"""What can be wrong with rules, in words that name the entry."""

import math
import re
from collections.abc import Iterator, Sequence
from graphlib import CycleError

from services.classifier.labels.language import (
    CLASSIFY_TYPE,
    VALUELESS,
    Comparison,
    Entry,
    Graph,
    Operand,
    Operator,
    RuleSet,
)
from services.classifier.labels.numbers import number
from services.classifier.labels.operators import anywhere
from shared import patterns

_MOST_ENTRIES = 2000
_MOST_CONDITIONS = 100
_LONGEST_PATTERN = 300
_TYPE = re.compile(r"[^\\\x00-\x1f]{1,64}")
_NUMERIC = frozenset({Operator.LESS, Operator.GREATER, Operator.APPROX})
_NAMING = frozenset({Operator.CONTAINS, Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN})
_LISTS = frozenset({Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN, Operator.APPROX})


class RulesError(ValueError):
    """Rules can't be used; the text names each entry and what is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def title(position: int, type_: str = "", id_: str = "") -> str:
    """How messages name an entry; `position` counts from 0."""
    parts = [type_ and f"type '{type_}'", id_ and f"id '{id_}'"]
    described = ", ".join(part for part in parts if part)
    return f"entry {position + 1}" + (f" ({described})" if described else "")


def rule_set(
    name: str, version: str, entries: Sequence[Entry], *, known_types: bool = True
) -> RuleSet:
    """The rules that `entries` are.

    Parameters
    ----------
    known_types
        Whether an entry may ask only for types that entries before it give.

    Raises
    ------
    RulesError
        Names everything that is wrong.
    """
    found = [] if len(entries) <= _MOST_ENTRIES else [f"more than {_MOST_ENTRIES} entries"]
    types_by_id: dict[str, set[str]] = {}
    for entry in entries:
        types_by_id.setdefault(entry.id, set()).add(entry.type)
    given: set[str] = set()
    for position, entry in enumerate(entries):
        wrong = [*_of_entry(entry), *_of_ids(entry, types_by_id)]
        if known_types:
            wrong += _of_types(entry, given)
        given.add(entry.type)
        found += [f"{title(position, entry.type, entry.id)}: {one}" for one in wrong]
    found += _of_graph(tuple(entries))
    if found:
        raise RulesError(found)
    return RuleSet(name, version, tuple(entries))


def _of_entry(entry: Entry) -> Iterator[str]:
    if not _TYPE.fullmatch(entry.type):
        yield "a type has 1 to 64 characters, no backslash and no control characters"
    if not entry.conditions:
        yield "it has no rules, so everything would be of its type"
    if len(entry.conditions) > _MOST_CONDITIONS:
        yield f"it has more than {_MOST_CONDITIONS} rules"
    for comparison in entry.comparisons:
        for one in _of_comparison(comparison):
            yield f"{comparison.operand.field.name}: {one}"


def _of_comparison(comparison: Comparison) -> Iterator[str]:
    operator, value = comparison.operator, comparison.value
    if isinstance(value, Operand):
        if operator in (Operator.REGEXP, Operator.IN, *VALUELESS):
            yield f"'{operator}' can't be with another element; use '=='"
        if comparison.reads_types:
            yield f"{CLASSIFY_TYPE} can't be compared with an element"
    elif operator in VALUELESS:
        if value:
            yield f"'{operator}' takes no value"
    else:
        yield from _of_value(operator, value)
    if comparison.operand.index is not None and comparison.operand.index < 0:
        yield "the number of a value can't be negative"
    if comparison.reads_types and (operator in _NUMERIC or comparison.operand.index is not None):
        yield "types have no order and no numbers; use 'contains', '==' or 'regexp'"
    if not 0 <= comparison.tolerance < math.inf:
        yield "the tolerance must be a number, 0 or more"


def _of_value(operator: Operator, value: str | tuple[str, ...]) -> Iterator[str]:
    texts = (value,) if isinstance(value, str) else value
    if not any(texts):
        yield f"'{operator}' needs a value"
    elif isinstance(value, tuple) and operator not in _LISTS:
        yield f"'{operator}' takes one value, not a list"
    elif operator in _NUMERIC and any(number(text) is None for text in texts):
        yield f"'{operator}' needs numbers"
    elif operator is Operator.REGEXP:
        if len(texts[0]) > _LONGEST_PATTERN:
            yield f"the pattern is longer than {_LONGEST_PATTERN} characters"
            return
        try:
            patterns.check(texts[0])
            patterns.check(anywhere(texts[0]))  # an open \\Q would swallow what comes behind it
        except patterns.PatternError as error:
            yield f"'{texts[0]}' is {error}"


def _of_ids(entry: Entry, types_by_id: dict[str, set[str]]) -> Iterator[str]:
    for reference in entry.references:
        if not reference.id:
            yield "a reference needs an id"
        elif reference.id not in types_by_id:
            yield f"it refers to '{reference.id}', and no entry has that id"
    # Entries of one type are alternatives, so several may share the id by which others refer.
    if entry.id and (others := types_by_id[entry.id] - {entry.type}):
        yield f"its id is also that of type '{min(others)}'"


def _of_types(entry: Entry, given: set[str]) -> Iterator[str]:
    for one in entry.comparisons:
        if one.reads_types and one.operator in _NAMING and not isinstance(one.value, Operand):
            texts = (one.value,) if isinstance(one.value, str) else one.value
            for text in sorted(set(texts) - given - {""}):
                yield f"it asks for the type '{text}', which no entry before it gives"


def _of_graph(entries: tuple[Entry, ...]) -> list[str]:
    titles = [title(position, one.type, one.id) for position, one in enumerate(entries)]
    try:
        graph = Graph(entries)
    except CycleError as error:
        circle = error.args[1][:-1]
        circle = circle[circle.index(min(circle)) :] + circle[: circle.index(min(circle)) + 1]
        path = " → ".join(titles[position] for position in circle)
        return [f"{titles[circle[0]]}: the references go in a circle: {path}"]
    return [
        f"{titles[position]}: it refers to {titles[target]}, which asks for types and stands "
        "later; put that one first"
        for position, reached in enumerate(graph.targets)
        for target in reached
        if target > position and target in graph.late
    ]
