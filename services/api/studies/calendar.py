"""Counts studies day by day."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Integer, case, func, literal_column, select

from services.api.problems import rule_broken
from services.api.studies.days import days_between, start_of, within
from services.api.studies.filters import conditions
from services.api.studies.schemas import CalendarBy, CalendarDay, CalendarQuery
from shared.ledger import Connection
from shared.ledger.tables import Study, core

_study = core(Study)
_LONGEST = timedelta(days=365)


async def count(
    connection: Connection, wanted: CalendarQuery, seen: ColumnElement[bool]
) -> list[CalendarDay]:
    """The days that have studies, in their order, and how many; a 422 problem for too many days."""
    if not timedelta(0) <= wanted.last_day - wanted.first_day <= _LONGEST:
        raise rule_broken("last_day", "Not before the first day, and at most a year after it.")
    days = list(days_between(wanted.first_day, wanted.last_day))
    which = [seen, *conditions(connection, wanted)]
    by_day = await (
        _received(connection, days, which)
        if wanted.by is CalendarBy.RECEIVED
        else _studied(connection, days, which)
    )
    return [CalendarDay(day=day, studies=by_day[day]) for day in days if day in by_day]


async def _received(
    connection: Connection, days: list[date], which: list[ColumnElement[bool]]
) -> Mapping[date, int]:
    received = _study.c.first_received_at
    numbered = (
        select(_number(received, days).label("number"))
        .where(*within(received, days[0], days[-1]), *which)
        .subquery()
    )
    number = numbered.c.number
    rows = await connection.execute(select(number, func.count()).group_by(number))
    return {days[number]: studies for number, studies in rows}


def _number(
    moment: ColumnElement[datetime], days: list[date], first: int = 0
) -> ColumnElement[int]:
    """Which of the days a moment is on, found by halving, counted from `first`.

    A day's bounds are Python's to know: SQLite has no time zones, and clocks change.
    """
    if len(days) == 1:
        return literal_column(str(first), Integer)
    half = len(days) // 2
    return case(
        (moment < start_of(days[half]), _number(moment, days[:half], first)),
        else_=_number(moment, days[half:], first + half),
    )


async def _studied(
    connection: Connection, days: list[date], which: list[ColumnElement[bool]]
) -> Mapping[date, int]:
    by_text: dict[str, date] = {f"{day:%Y%m%d}": day for day in days}
    made = _study.c.study_date
    rows = await connection.execute(
        select(made, func.count())
        .where(made.between(min(by_text), max(by_text)), *which)
        .group_by(made)
    )
    # What is no date (a sender's "2020021") stands among them, but on no day.
    return {by_text[text]: studies for text, studies in rows if text in by_text}
