"""Comparing header values, with three answers: yes, no, and None where there is nothing to compare.

An element that is missing, or that is no number where numbers are compared, satisfies neither a
comparison nor its negation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from services.classifier.labels.language import Comparison, Operand, Operator
from services.classifier.labels.numbers import number
from shared import patterns

Texts = Sequence[str]
Test = Callable[[Texts, Texts], bool]
"""Whether a condition holds of a field's values, and those of the field it is compared with."""
_Compare = Callable[[Texts, Texts], bool | None]


def test_of(comparison: Comparison) -> Test:
    """The test that `comparison` is."""
    operator, negate = comparison.operator, comparison.negate
    if operator is Operator.NOT_EQUAL:
        return test_of(replace(comparison, operator=Operator.EQUAL, negate=not negate))
    if operator in (Operator.EXIST, Operator.NOT_EXIST):
        wanted = (operator is Operator.EXIST) != negate
        return lambda values, _: bool(values) is wanted
    compare = _compare(comparison)
    # There are always types to look at, if none: "not contains" holds of a series that has none.
    if comparison.reads_types:
        return lambda values, right: (compare(values, right) or False) is not negate
    return lambda values, right: bool(values) and compare(values, right) is (not negate)


def _compare(comparison: Comparison) -> _Compare:
    value, operator = comparison.value, comparison.operator
    if operator is Operator.REGEXP and isinstance(value, str):
        return _searching(value, joined=comparison.joined)
    if operator is Operator.CONTAINS:
        return _contains(listed=comparison.reads_types)
    if operator is Operator.IN:
        return _one_of(constant(comparison))
    pairwise = _PAIRWISE[operator](comparison.tolerance)
    return _each(pairwise) if isinstance(value, str) else _all(pairwise)


def constant(comparison: Comparison) -> Texts:
    """The value that the rule itself states; empty when it names another field."""
    value = comparison.value
    if isinstance(value, Operand):
        return ()
    return (value,) if isinstance(value, str) else value


def anywhere(pattern: str) -> str:
    """A pattern that matches from the start where `pattern` is found anywhere."""
    return f"(?s:.*?)(?:{pattern})"


def _searching(pattern: str, *, joined: bool) -> _Compare:
    found = anywhere(pattern)
    if joined:
        return lambda left, _: patterns.matches_start(found, ", ".join(left))
    return lambda left, _: any(patterns.matches_start(found, one) for one in left)


def _contains(*, listed: bool) -> _Compare:
    """Part of a text; of several values, one of them."""

    def compare(left: Texts, right: Texts) -> bool | None:
        if len(right) != 1:
            return None
        return right[0] in (left if listed or len(left) > 1 else left[0])

    return compare


def _one_of(texts: Texts) -> _Compare:
    wanted, numbers = frozenset(texts), frozenset(map(number, texts)) - {None}
    return lambda left, _: not wanted.isdisjoint(left) or not numbers.isdisjoint(map(number, left))


_Pair = Callable[[str, str], bool | None]


def _each(pair: _Pair) -> _Compare:
    """One value of the field is enough; None if not one can be compared."""

    def compare(left: Texts, right: Texts) -> bool | None:
        answers = [pair(one, right[0]) for one in left]
        return True in answers or (False if False in answers else None)

    return compare


def _all(pair: _Pair) -> _Compare:
    """All values of both, in their order; None if one can't be compared."""

    def compare(left: Texts, right: Texts) -> bool | None:
        if not right:
            return None
        if len(left) != len(right):
            return False
        answers = [pair(*both) for both in zip(left, right, strict=True)]
        return None if None in answers else all(answers)

    return compare


def _same(a: str, b: str) -> bool:
    """As numbers if both are numbers, otherwise as texts."""
    if a == b:
        return True
    first, second = number(a), number(b)
    return first is not None and first == second


def _numbers(holds: Callable[[float, float], bool]) -> _Pair:
    def pair(a: str, b: str) -> bool | None:
        first, second = number(a), number(b)
        return None if first is None or second is None else holds(first, second)

    return pair


_PAIRWISE: dict[Operator, Callable[[float], _Pair]] = {
    Operator.EQUAL: lambda _: _same,
    Operator.LESS: lambda _: _numbers(lambda a, b: a < b),
    Operator.GREATER: lambda _: _numbers(lambda a, b: a > b),
    Operator.APPROX: lambda tolerance: _numbers(lambda a, b: abs(a - b) <= tolerance),
}
