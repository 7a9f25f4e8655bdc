"""The de-identification table as data, and its model.

`source-2019.csv` is the 2019 design's table, row for row. `settled.csv` holds the rows where the
design's text contradicts its table, each with the reason; they win.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files


class Action(StrEnum):
    """What is done with an element. The values are the words of the table."""

    KEEP = "keep"
    """Keep the value, after the identity sweep; descend into a sequence."""
    REMOVE = "remove"
    EMPTY = "empty"
    """Keep the element with no value."""
    HASH = "hash"
    """Replace by the keyed hash of the value."""
    HASHUID = "hashuid"
    """Replace by the keyed UID of the value."""
    HASHUID_PROJECT = "hashuid+PROJECTNAME"
    """The same: every key belongs to a project, so that all references link."""
    INCREMENTDATE = "incrementdate"
    """Move by the project's whole number of days."""
    PROCESS = "process"
    """Descend into the sequence."""
    STUDYHASH = "STUDYHASH"
    """Replace by the keyed hash of the study, 16 characters."""
    PARTICIPANT = "Re-Mapped"
    """Replace by the participant's pseudonym."""
    PROJECT = "PROJECTNAME"
    """Replace by the project's code."""
    SITE_NAME = "SITENAME"
    SITE_ID = "SITEID"
    BODY_PART = "BODYPART"
    """A placeholder that no transfer fills: the value is kept."""
    CODES = "codes"
    """One item per code of `Rule.value`, separated by slashes."""
    LITERAL = "literal"
    """Replace by `Rule.value`."""


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    tag: int
    """Group and element, `0x00100010`."""
    name: str
    action: Action
    value: str = ""
    """For `LITERAL` and `CODES`."""
    note: str = ""


class Profile(Mapping[int, Rule]):
    """Rules by tag; what is not in it is kept, after the identity sweep."""

    def __init__(self, rules: dict[int, Rule]) -> None:
        self._rules = rules

    def __getitem__(self, tag: int) -> Rule:
        return self._rules[tag]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)


_ALIASES = {"always": Action.PROJECT}


def _rule(row: dict[str, str]) -> Rule:
    tag = int(row["group"] + row["element"], 16)
    word = row["action"]
    if word in _ALIASES:
        action, value = _ALIASES[word], ""
    elif word in set(Action):
        action, value = Action(word), ""
    elif word.replace("/", "").isdigit():
        action, value = Action.CODES, word
    else:
        action, value = Action.LITERAL, word
    return Rule(tag, row["name"], action, value, row["note"])


def _read(name: str) -> dict[int, Rule]:
    lines = files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return {rule.tag: rule for rule in map(_rule, csv.DictReader(lines))}


@lru_cache(maxsize=1)
def source_profile() -> Profile:
    """The 2019 design's table with the settled rows in force: the default of every project."""
    return Profile(_read("source-2019.csv") | _read("settled.csv"))
