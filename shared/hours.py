"""Hours of the day at which something is allowed, as people write them: `22:00-06:00`."""

import re
from datetime import datetime, time, timedelta

PATTERN = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:[01][0-9]|2[0-3]):[0-5][0-9]"


def wait_until(hours: str, moment: datetime) -> float:
    """Seconds from `moment` until the hours begin; 0 within them.

    Parameters
    ----------
    hours
        From and to, which may lie on the next day; empty for always.
    moment
        In local time.
    """
    if not hours:
        return 0.0
    if re.fullmatch(PATTERN, hours) is None:
        raise ValueError("not hours")
    begin, end = (time.fromisoformat(part) for part in hours.split("-"))
    now = moment.time()
    within = begin <= now < end if begin < end else now >= begin or now < end
    if within or begin == end:
        return 0.0
    opening = moment.replace(hour=begin.hour, minute=begin.minute, second=0, microsecond=0)
    if opening <= moment:
        opening += timedelta(days=1)
    return (opening - moment).total_seconds()
