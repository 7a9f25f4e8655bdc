"""A rule's conditions as people enter them: rows of words, instead of regular expressions.

Of the patient's id or name there may be several rows. They become one pattern, and that becomes the
same rows again; a pattern that rows can't say stands in one, as the expression that it is.
"""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.patterns import PatternError, check

CALLED, CALLING = "called_aet", "calling_aet"
PATIENT_ID, PATIENT_NAME = "patient_id_pattern", "patient_name_pattern"
MOST_ROWS = 20
"""Of one field: more are one expression."""
TITLES, PATIENTS = (CALLED, CALLING), (PATIENT_ID, PATIENT_NAME)


class How(StrEnum):
    """How a value is compared."""

    BEGINS = "begins"
    IS = "is"
    LIKE = "like"
    """With `#` for a digit and `*` for anything."""
    ANY = "any"
    EXPRESSION = "expression"


@dataclass
class Row:
    """One condition, as it stands in a form."""

    field: str
    how: How = How.IS
    value: str = ""
    wrong: list[str] = dataclasses.field(default_factory=list)
    """What is wrong with it."""
    detail: str = ""
    """What the reader of regular expressions says of it, in its own words."""
    is_new: bool = False
    """Whether somebody has just asked for it, and goes on there."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is compared yet."""
        return not self.value and self.how is not How.ANY


@dataclass
class Conditions:
    """A rule takes what meets one of the titles *and* one of what is asked of the patient."""

    titles: list[Row]
    patients: list[Row]

    def of(self, name: str) -> list[Row]:
        """The rows of one field."""
        return [row for row in (*self.titles, *self.patients) if row.field == name]

    def value(self, name: str) -> str | None:
        """What a rule has in this field; None for nothing."""
        rows = [row for row in self.of(name) if not row.is_empty]
        if not rows:
            return None
        return rows[0].value if name in TITLES else pattern_of(rows)

    @property
    def are_right(self) -> bool:
        """Whether no row is wrong."""
        return not any(row.wrong for row in (*self.titles, *self.patients))


class HasConditions(Protocol):
    """A rule, whoever reads it."""

    called_aet: str | None
    calling_aet: str | None
    patient_id_pattern: str | None
    patient_name_pattern: str | None


def conditions_of(rule: HasConditions) -> Conditions:
    """The rows that say what a rule asks for."""
    titles = [Row(name, How.IS, getattr(rule, name)) for name in TITLES if getattr(rule, name)]
    patients = [
        row for name in PATIENTS for row in rows_of(name, getattr(rule, name) or "")
    ]  # fmt: skip
    return Conditions(titles, patients)


def pattern_of(rows: Iterable[Row]) -> str:
    """The regular expression that says the same, to be matched from the start."""
    parts = [(row.how, _part(row)) for row in rows]
    if len(parts) == 1:
        return parts[0][1]
    return f"(?:{'|'.join(_closed(how, part) for how, part in parts)})"


def rows_of(name: str, pattern: str) -> list[Row]:
    """The rows of one field that say what `pattern` does."""
    if not pattern:
        return []
    # It is matched from the start, and may end anywhere: these say nothing.
    bare = _ANYWHERE.sub("", pattern.removeprefix("^"))
    for same in (pattern, bare):
        rows = [_row(name, same)]
        if rows[0].how is How.EXPRESSION and same.startswith("(?:") and same.endswith(")"):
            rows = [_row(name, part) for part in _OR.split(same[3:-1])]
        if len(rows) <= MOST_ROWS and all(map(_can_be_typed, rows)) and pattern_of(rows) == same:
            return rows
    return [Row(name, How.EXPRESSION, pattern)]


def _can_be_typed(row: Row) -> bool:
    """Whether a form gives the row back as it is: blanks at the ends are taken off there."""
    return row.how is not How.EXPRESSION and row.value == row.value.strip()


def examine(row: Row) -> str:
    """What the reader of regular expressions has against a row; empty for nothing."""
    try:
        check(pattern_of([row]))
    except PatternError as error:
        return str(error).partition(": ")[2]
    return ""


_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_OR = re.compile(r"(?<!\\)\|")  # where that is wrong, the rows make another pattern, which is seen
_ANYWHERE = re.compile(r"(?<=[^\\])\.\*$")
_TOKEN = re.compile(
    r"(?P<digits>\[0-9\](?:\{(?P<many>[2-9]|[1-9][0-9])\})?)|(?P<all>\.\*)"
    r"|\\(?P<special>[\\.+*?()|\[\]{}^$])|(?P<plain>[^\\.+*?()|\[\]{}^$])"
)
_RUN = re.compile(r"#+|\*|[^#*]")


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def _closed(how: How, part: str) -> str:
    return f"(?:{part})" if how is How.EXPRESSION else part


def _part(row: Row) -> str:
    match row.how:
        case How.BEGINS:
            return _plain(row.value)
        case How.IS:
            return _plain(row.value) + "$"
        case How.LIKE:
            return _like(row.value)
        case How.ANY:
            return ".*"
        case How.EXPRESSION:
            return row.value


def _like(text: str) -> str:
    """A `*` at the end says what a match from the start says anyway."""
    is_open = text.endswith("*")
    found = []
    for run in _RUN.findall(text[:-1] if is_open else text):
        if run[0] == "#":
            found.append("[0-9]" if len(run) == 1 else f"[0-9]{{{len(run)}}}")
        else:
            found.append(".*" if run == "*" else _plain(run))
    return "".join(found) + ("" if is_open else "$")


def _row(name: str, pattern: str) -> Row:
    """The simplest row that makes exactly this pattern."""
    if pattern == ".*":
        return Row(name, How.ANY)
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[:-1] if ends else pattern
    text, is_literal, at = "", True, 0
    while at < len(body):
        found = _TOKEN.match(body, at)
        if found is None:
            return Row(name, How.EXPRESSION, pattern)
        at = found.end()
        if found["digits"]:
            text += "#" * int(found["many"] or 1)
        elif found["all"]:
            text += "*"
        else:
            text += found["special"] or found["plain"]
            continue
        is_literal = False
    if not text or (not is_literal and not ends and text.endswith("*")):
        return Row(name, How.EXPRESSION, pattern)
    if is_literal:
        return Row(name, How.IS if ends else How.BEGINS, text)
    return Row(name, How.LIKE, text if ends else f"{text}*")
