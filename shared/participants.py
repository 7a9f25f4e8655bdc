"""What participant ids look like, and which one comes next.

A project gives a template, `BICAM{site:2}_{n:4}`, from which ids can be made, or a regular
expression, which only checks them. In a template `{n}` is a running number and `{site}` the code of
the transfer's site; a number behind the colon is how many characters it takes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared import patterns
from shared.identity import PARTICIPANT

_FIELD = re.compile(r"\{(n|site)(?::([1-9]))?\}")
_PLAIN = re.compile(r"[A-Za-z0-9._-]*")
_SITE_CODE = re.compile(r"[A-Za-z0-9]{1,9}")
_TEMPLATE = re.compile(r"\{(?:n|site)\b")


class NumbersUsedUp(Exception):
    """The template's number has no more digits."""


@dataclass(frozen=True)
class Template:
    """A pattern that ids can be made from.

    Parameters
    ----------
    parts
        Plain text, and the fields between: a name and a width, 0 for any.
    """

    parts: tuple[str | tuple[str, int], ...]

    @property
    def fields(self) -> list[tuple[str, int]]:
        """Names and widths of its fields."""
        return [part for part in self.parts if not isinstance(part, str)]

    @property
    def needs_site(self) -> bool:
        """Whether ids name the site."""
        return any(name == "site" for name, _ in self.fields)

    def expression(self, site: str | None = None) -> str:
        """The regular expression of ids of one site, or of any; the number is a group."""
        return "".join(
            re.escape(part) if isinstance(part, str) else _expression_of(*part, site)
            for part in self.parts
        )

    def next_id(self, taken: Iterable[str], site: str = "") -> str:
        """The id after the highest one in `taken`.

        Raises
        ------
        NumbersUsedUp
            There is none.
        """
        expression = re.compile(self.expression(site))
        numbers = [int(found[1]) for one in taken if (found := expression.fullmatch(one))]
        number = max(numbers, default=0) + 1
        made = "".join(
            part if isinstance(part, str) else _written(*part, number, site) for part in self.parts
        )
        if not expression.fullmatch(made) or len(made) > 64:
            raise NumbersUsedUp
        return made


def _expression_of(name: str, width: int, site: str | None) -> str:
    if name == "n":
        return rf"([0-9]{{{width}}})" if width else "([0-9]+)"
    if site is not None:
        return re.escape(site)
    return rf"[A-Za-z0-9]{{{width}}}" if width else "[A-Za-z0-9]+"


def _written(name: str, width: int, number: int, site: str) -> str:
    return f"{number:0{width}}" if name == "n" else site


def check(pattern: str) -> str:
    """Return `pattern` unchanged.

    Raises
    ------
    shared.patterns.PatternError
        It is neither a template nor a regular expression; says what is wrong.
    """
    if template(pattern) is None:
        patterns.check(pattern)
    return pattern


@lru_cache(maxsize=256)
def template(pattern: str) -> Template | None:
    """The template that `pattern` is; None where it is a regular expression.

    Raises
    ------
    shared.patterns.PatternError
        It means to be a template and is none.
    """
    if not _TEMPLATE.search(pattern):
        return None
    parts: list[str | tuple[str, int]] = []
    position = 0
    for found in _FIELD.finditer(pattern):
        parts += [pattern[position : found.start()], (found[1], int(found[2] or 0))]
        position = found.end()
    parts.append(pattern[position:])
    names = [part[0] for part in parts if not isinstance(part, str)]
    if any(isinstance(part, str) and not _PLAIN.fullmatch(part) for part in parts):
        raise patterns.PatternError(
            "a template holds letters, digits, . _ - and the fields {n:4} and {site:2}"
        )
    if names.count("n") != 1 or names.count("site") > 1:
        raise patterns.PatternError("a template has {n} once, and {site} at most once")
    return Template(tuple(part for part in parts if part))


def fits(pattern: str | None, participant: str, site_code: str = "") -> bool:
    """Whether `participant` is a possible id of a project with this pattern.

    Parameters
    ----------
    site_code
        Of the transfer's site, where the project has sites.
    """
    if not patterns.matches_whole(PARTICIPANT, participant):
        return False
    if pattern is None:
        return True
    made = template(pattern)
    if made is None:
        return patterns.matches_whole(pattern, participant)
    return patterns.matches_whole(made.expression(site_code or None), participant)


def is_site_code(text: str, pattern: str | None) -> bool:
    """Whether `text` can stand for a site in ids of this pattern."""
    if not _SITE_CODE.fullmatch(text):
        return False
    made = template(pattern) if pattern else None
    widths = [width for name, width in (made.fields if made else ()) if name == "site"]
    return not any(width and width != len(text) for width in widths)
