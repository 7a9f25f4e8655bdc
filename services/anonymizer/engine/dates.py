"""Moves dates by whole days (DA, DT: PS3.5 section 6.2)."""

import re
from datetime import date, timedelta

# YYYYMMDD, or the ACR-NEMA form with dots that old files still have.
_DATE = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})(?P<rest>.*)", re.DOTALL)


def shifted(value: str, days: int) -> str | None:
    """A DA or DT value moved by `days`; what follows the date (time, offset) stays.

    Returns
    -------
    None when the value does not start with a whole date, or the result leaves the calendar.
    """
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    year, dot, month, day = found.group(1, 2, 3, 4)
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y}{dot}{moved:%m}{dot}{moved:%d}{found['rest']}".rjust(8, "0")


def shifted_range(value: str, days: int) -> str | None:
    """As `shifted`, for a single value or a range `from-to` (PS3.4 C.2.2.2.5)."""
    # An offset from UTC (-0100) is no range: ranges have a date on at least one side of the hyphen.
    low, hyphen, high = value.partition("-")
    if hyphen and (not low or _DATE.fullmatch(high)):
        ends = [shifted(end, days) if end else "" for end in (low, high)]
        return None if None in ends else "-".join(end or "" for end in ends)
    return shifted(value, days)
