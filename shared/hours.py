"""Hours at which something is allowed, as people write them: `22:00-06:00, Sat-Sun 00:00-00:00`."""

import re
from datetime import datetime, time, timedelta
from typing import NamedTuple

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = f"(?:{'|'.join(_DAYS)})"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_WINDOW = f"(?:{_DAY}(?:-{_DAY})? )?{_TIME}-{_TIME}"
PATTERN = f"{_WINDOW}(?:, ?{_WINDOW}){{0,7}}"


class _Window(NamedTuple):
    """From one hour to another, which may lie on the next day, on the days on which it begins."""

    days: frozenset[int]
    begin: time
    end: time

    def opening(self, day: datetime) -> datetime | None:
        """When it begins on the day of a moment."""
        if day.weekday() not in self.days:
            return None
        return datetime.combine(day.date(), self.begin, day.tzinfo)

    def closing(self, opening: datetime) -> datetime:
        """When it ends that began at `opening`."""
        end = datetime.combine(opening.date(), self.end, opening.tzinfo)
        return end if end > opening else end + timedelta(days=1)


def wait_until(hours: str, moment: datetime) -> float:
    """Seconds from `moment` until the hours begin; 0 within them.

    Parameters
    ----------
    hours
        Windows, separated by commas: from and to, which may lie on the next day (the same hour
        twice is a whole day), each with the days on which it begins where that is not every day.
        Empty for always.
    moment
        In local time.
    """
    if not hours:
        return 0.0
    if re.fullmatch(PATTERN, hours) is None:
        raise ValueError("not hours")
    windows = [_window(one.strip()) for one in hours.split(",")]
    openings = [
        (opening, window.closing(opening))
        for days in range(-1, 8)
        for window in windows
        if (opening := window.opening(moment + timedelta(days=days)))
    ]
    if any(opening <= moment < closing for opening, closing in openings):
        return 0.0
    return min((opening - moment).total_seconds() for opening, _ in openings if opening > moment)


def _window(text: str) -> _Window:
    *days, times = text.split(" ")
    begin, end = (time.fromisoformat(part) for part in times.split("-"))
    if not days:
        return _Window(frozenset(range(7)), begin, end)
    first, last = (_DAYS.index(name) for name in (days[0].split("-") * 2)[:2])
    span = (last - first) % 7 + 1
    return _Window(frozenset((first + number) % 7 for number in range(span)), begin, end)
