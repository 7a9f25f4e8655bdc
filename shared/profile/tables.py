"""The tables that come with Sluse, read from their data files.

`source-2019.csv` is the 2019 design's table, row for row. `settled.csv` holds the rows where the
design's text contradicts its table, each with the reason; they win.
"""

import csv
from functools import lru_cache
from importlib.resources import files

from shared.profile.actions import Action
from shared.profile.model import Profile, Rule

SOURCE = "source-2019"
_ALIASES = {"always": Action.PROJECT}
_ACCESSION_NUMBER = 0x00080050


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a data file of this package; lines that begin with # are remarks."""
    lines = files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


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
    return {rule.tag: rule for rule in map(_rule, rows(name))}


@lru_cache(maxsize=1)
def source_profile() -> Profile:
    """The 2019 design's table with the settled rows in force: the default of every project."""
    rules = _read("source-2019.csv") | _read("settled.csv")
    return Profile(SOURCE, "2019", rules.values(), origin=(source_profile, ()))


@lru_cache(maxsize=64)
def legacy_profile(profile: Profile) -> Profile:
    """`profile` for the legacy schemes: AccessionNumber is hashed by itself, as the table has it.

    The earlier system did so; a study's follow-up images must bear the accession number that its
    first ones have.
    """
    found = profile.get(_ACCESSION_NUMBER)
    if found is None or found.action is not Action.STUDYHASH:
        return profile
    own = _read("source-2019.csv")[_ACCESSION_NUMBER]
    return Profile(
        f"{profile.name}-legacy",
        profile.version,
        [*profile.rules, own],
        unlisted_private=profile.unlisted_private,
        policies=profile.policies,
        origin=(legacy_profile, (profile,)),
    )
