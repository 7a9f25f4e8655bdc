"""Moves dates by whole days (DA, DT: PS3.5 section 6.2)."""

import re
from datetime import date, timedelta
from functools import lru_cache

# YYYYMMDD, or with dots as ACR-NEMA had it; in DT followed by as much of the time as is known, and
# by an offset from UTC.
_TIME = r"(?:\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?(?:[+-]\d{4})?"
_ONE = re.compile(rf"(\d{{4}})(\.?)(\d{{2}})\2(\d{{2}})({_TIME})", re.ASCII)
_END = rf"(\d{{4}}\.?\d{{2}}\.?\d{{2}}{_TIME})?"
_RANGE = re.compile(f"{_END}-{_END}", re.ASCII)


def shifted(value: str, days: int) -> str | None:
    """A DA or DT value, or a range of them, moved by `days`; time and offset from UTC stay.

    Returns
    -------
    None when the value is no whole date (PS3.5 6.2; ranges: PS3.4 C.2.2.2.5), or the result leaves
    the calendar. Nothing of such a value may be kept: the part that did not move would give the
    shift away.
    """
    if _ONE.fullmatch(value):
        return _shifted_one(value, days)
    found = _RANGE.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    ends = [_shifted_one(end, days) if end else "" for end in found.groups()]
    return None if None in ends else "-".join(end or "" for end in ends)


def _shifted_one(value: str, days: int) -> str | None:
    found = _ONE.fullmatch(value)
    if found is None:
        return None
    year, dot, month, day, rest = found.groups()
    moved = _moved(year, month, day, days)
    return None if moved is None else dot.join(moved) + rest


@lru_cache(maxsize=4096)
def _moved(year: str, month: str, day: str, days: int) -> tuple[str, str, str] | None:
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}", f"{moved.month:02}", f"{moved.day:02}"


def malformed_date(tag: int) -> str:
    """What is reported of a date that is none."""
    return f"malformed date emptied: ({tag >> 16:04x},{tag & 0xFFFF:04x})"
