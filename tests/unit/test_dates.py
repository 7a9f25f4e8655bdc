from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anonymizer.engine.dates import shifted

days = st.integers(-36500, 36500)
dates = st.dates(date(1700, 1, 1), date(2300, 1, 1))


@given(dates, days)
def test_a_date_moves_by_whole_days(day: date, by: int) -> None:
    assert shifted(day.strftime("%Y%m%d"), by) == (day + timedelta(days=by)).strftime("%Y%m%d")


@given(dates, dates, days)
def test_distances_survive(one: date, other: date, by: int) -> None:
    def parsed(text: str | None) -> date:
        assert text is not None
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))

    moved = [parsed(shifted(day.strftime("%Y%m%d"), by)) for day in (one, other)]
    assert moved[1] - moved[0] == other - one


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("20200228", "20200301"),
        ("20200228101112.123456+0100", "20200301101112.123456+0100"),
        ("20200228101112-0100", "20200301101112-0100"),
        ("2020.02.28", "2020.03.01"),
        ("20200228-20200301", "20200301-20200303"),
        ("20200228-", "20200301-"),
        ("-20200228", "-20200301"),
        ("00010101", "00010103"),
        ("202002", None),
        ("2020", None),
        ("20201301", None),
        ("20200230", None),
        ("99991231", None),
        ("yesterday", None),
        ("20200228-soon", None),
        ("20200228 Kari Nordmann", None),
        ("20200228/20201231", None),
        ("20200228120000-0100-20200301120000-0100", "20200301120000-0100-20200303120000-0100"),
        ("2020.0228", None),
        ("-", None),
        ("２０２００２２８", None),
    ],
)
def test_forms_of_dates(value: str, wanted: str | None) -> None:
    assert shifted(value, 2) == wanted
