"""Numbers as header values write them."""

import math
from functools import lru_cache

_LONGEST = 64
"""Characters; a decimal string has 16 (PS3.5 6.2), a binary number written out some 25."""


def number(text: str) -> float | None:
    """The finite number that `text` is, or None."""
    return _parsed(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
