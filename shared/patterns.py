"""Regular expressions written by users, run in linear time.

RE2 has no backtracking, so no pattern of a user's can stall a service (CWE-1333). Everything
that a person can type as a regular expression goes through here.
"""

from functools import lru_cache
from typing import Any

import re2


class PatternError(ValueError):
    """The text is not a regular expression that Sluse accepts."""


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:  # re2 ships no types
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise PatternError(f"not a regular expression Sluse accepts: {text}") from None


def check(pattern: str) -> str:
    """Return `pattern` unchanged, or raise `PatternError` saying what is wrong with it."""
    _compiled(pattern)
    return pattern


def matches_start(pattern: str, text: str) -> bool:
    """Whether `text` starts with a match of `pattern` (routing: anchored at the start)."""
    return _compiled(pattern).match(text) is not None


def matches_whole(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches `pattern` (participant ids)."""
    return _compiled(pattern).fullmatch(text) is not None
