"""Hours at which a destination takes images, and its pace."""

import time
from datetime import datetime

import pytest

from services.forwarder.pace import Pace
from shared.hours import wait_until


@pytest.mark.parametrize(
    ("hours", "moment", "seconds"),
    [("", "12:00:00", 0), ("08:00-16:00", "08:00:00", 0), ("08:00-16:00", "15:59:59", 0),
     ("08:00-16:00", "16:00:00", 16 * 3600), ("08:00-16:00", "07:59:30", 30),
     ("22:00-06:00", "23:10:00", 0), ("22:00-06:00", "05:59:59", 0),
     ("22:00-06:00", "06:00:00", 16 * 3600), ("22:00-06:00", "21:59:59", 1),
     ("10:00-10:00", "03:00:00", 0),
     # 2026-03-01 is a Sunday.
     ("12:00-13:00, 22:00-06:00", "12:30:00", 0), ("12:00-13:00,22:00-06:00", "13:00:00", 9 * 3600),
     ("Sun 08:00-16:00", "09:00:00", 0), ("Sat 22:00-06:00", "05:00:00", 0),
     ("Mon-Fri 22:00-06:00", "05:00:00", 41 * 3600), ("Fri-Mon 08:00-16:00", "08:00:00", 0),
     ("Sat-Sun 00:00-00:00, 22:00-06:00", "15:00:00", 0),
     ("Sun 08:00-09:00", "09:00:00", 7 * 86400 - 3600)],
)  # fmt: skip
def test_how_long_it_is_until_the_hours_begin(hours: str, moment: str, seconds: int) -> None:
    assert wait_until(hours, datetime.fromisoformat(f"2026-03-01T{moment}")) == seconds  # noqa: DTZ


@pytest.mark.parametrize(
    "hours", ["25:00-26:00", "08:00", "Son 08:00-09:00", "08:00-09:00,", "Mon-08:00-09:00",
              ", ".join(["08:00-09:00"] * 9)],
)  # fmt: skip
def test_what_are_no_hours_is_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="not hours"):
        wait_until(hours, datetime(2026, 3, 1))  # noqa: DTZ001


def test_a_pace_is_kept() -> None:
    pace, began = Pace(100), time.monotonic()
    for _ in range(11):
        pace.wait()
    assert time.monotonic() - began >= 0.099
    Pace(0).wait()
