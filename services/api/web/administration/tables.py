"""The tables that de-identification goes by, as they come with Sluse."""

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from shared import profile
from shared.profile.ps315 import EDITION
from shared.profile.tables import rows


class Table(NamedTuple):
    """A table, by its files in `shared/profile`; rows of the later ones go before the others."""

    name: str
    about: str
    """In words for pages."""
    files: tuple[str, ...]
    version: str = ""
    is_base: bool = False
    """Whether projects choose it; otherwise it holds besides."""


class Read(NamedTuple):
    """A table with its rows."""

    table: Table
    columns: list[str]
    rows: list[dict[str, str]]
    digest: str
    """SHA-256 of its files."""


TABLES = (
    Table(
        "source-2019",
        "The table of the 2019 design, with what was settled since. Projects go by it that choose "
        "nothing else.",
        ("source-2019.csv", "settled.csv"), "2019", is_base=True,
    ),
    Table(
        "ps3.15",
        "The strict one: the Basic Profile of the DICOM standard (PS3.15, Table E.1-1), and its "
        "options.",
        ("ps315.csv",), EDITION, is_base=True,
    ),
    Table(
        "safe-private",
        "Private elements that the standard calls safe: kept in projects with the strict profile "
        "that choose so.",
        ("safe-private.csv",),
    ),
    Table(
        "private",
        "Private elements that are known to carry identifiers or dates: cleaned in every project.",
        ("private.csv",),
    ),
    Table(
        "concepts",
        "What becomes of the entries of structured reports, by their concept names.",
        ("concepts.csv",),
    ),
)  # fmt: skip
"""All that there are."""


@lru_cache(maxsize=len(TABLES))
def as_it_comes(table: Table) -> Read:
    """A table with its rows."""
    folder = files(profile)
    digest = hashlib.sha256()
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for number, name in enumerate(table.files):
        digest.update(folder.joinpath(name).read_bytes())
        for place, row in enumerate(rows(name)):
            several = len(table.files) > 1
            key = (
                (row["group"].upper(), row["element"].upper())
                if several
                else (str(number), str(place))
            )
            found[key] = row
    shown = list(found.values())
    return Read(table, list(shown[0]), shown, digest.hexdigest())
