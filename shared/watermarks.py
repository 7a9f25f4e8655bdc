"""How much room on a disk is little: a share of it, or bytes."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(%|B|kB|KB|MB|GB|TB)?")
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Mark:
    """Room below which there is little: a share of the disk where `percent` is given."""

    percent: float | None = None
    size: int = 0
    """Bytes."""

    def of(self, total: int) -> int:
        """Bytes, of a disk of `total` bytes."""
        return self.size if self.percent is None else round(total * self.percent / 100)

    def is_surely_below(self, other: "Mark") -> bool:
        """Whether it is less than `other` on every disk."""
        if self.percent is None or other.percent is None:
            return self.percent is other.percent and self.size < other.size
        return self.percent < other.percent

    def __str__(self) -> str:
        return f"{self.size}B" if self.percent is None else f"{self.percent:g}%"


def _read(value: Any) -> Mark:
    if isinstance(value, Mark):
        return value
    found = _WRITTEN.fullmatch(str(value).strip())
    if found is None:
        raise ValueError("write it like 5% or 200GB")
    number, unit = float(found[1]), found[2] or "B"
    if unit == "%":
        if number >= 100:
            raise ValueError("write less than 100%")
        return Mark(percent=number)
    return Mark(size=round(number * _UNITS[unit]))


Watermark = Annotated[Mark, BeforeValidator(_read), PlainSerializer(str, when_used="unless-none")]
"""As settings have it."""
