"""Edits by regular expression (`Action.REGEX`): a pattern, and what takes the place of a match."""

import re
from functools import lru_cache
from typing import Any

import re2

from shared import patterns

_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


class EditError(ValueError):
    """The pattern or the replacement can't be used."""


def check_edit(pattern: str, replacement: str) -> None:
    r"""Check a pattern (RE2) and its replacement, in which `\1` to `\9` stand for its groups.

    Raises
    ------
    EditError
        Says what is wrong.
    """
    try:
        patterns.check(pattern)
    except patterns.PatternError as error:
        raise EditError(str(error)) from None
    if patterns.matches_whole(pattern, ""):
        raise EditError("the pattern matches the empty text")
    groups = _compiled(pattern).groups
    for letter in _REFERENCE.findall(replacement):
        if letter == "\\":
            continue
        if not letter.isdigit() or letter == "0":
            raise EditError(rf"in a replacement, \ is followed by 1 to 9, or by \: '\{letter}'")
        if int(letter) > groups:
            raise EditError(rf"the replacement names group \{letter}, the pattern has {groups}")


def edited(pattern: str, replacement: str, text: str) -> str:
    """`text` with each match of `pattern` replaced; both as `check_edit` accepts them."""
    found: str = _compiled(pattern).sub(replacement, text)
    return found


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:  # re2 ships no types
    return re2.compile(pattern)
