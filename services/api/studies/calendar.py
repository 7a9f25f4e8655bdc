"""Counts studies day by day."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Subquery,
    case,
    distinct,
    func,
    literal_column,
    select,
)

from services.api.problems import rule_broken
from services.api.studies.days import days_between, start_of, within
from services.api.studies.filters import conditions
from services.api.studies.schemas import CalendarBy, CalendarDay, CalendarQuery
from shared.ledger import Connection
from shared.ledger.tables import Series, Study, core

_study, _series = core(Study), core(Series)
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
    return [by_day[day] for day in days if day in by_day]


async def _received(
    connection: Connection, days: list[date], which: list[ColumnElement[bool]]
) -> Mapping[date, CalendarDay]:
    received = _study.c.first_received_at
    numbered = (
        select(_study.c.id, _number(received, days).label("day"))
        .where(*within(received, days[0], days[-1]), *which)
        .subquery()
    )
    return await _by_day(connection, numbered, dict(enumerate(days)))


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
) -> Mapping[date, CalendarDay]:
    by_text = {f"{day:%Y%m%d}": day for day in days}
    made = _study.c.study_date
    dated = (
        select(_study.c.id, made.label("day"))
        .where(made.between(min(by_text), max(by_text)), *which)
        .subquery()
    )
    # What is no date (a sender's "2020021") stands among them, but on no day.
    return await _by_day(connection, dated, by_text)


async def _by_day(
    connection: Connection, studies: Subquery, days: Mapping[Any, date]
) -> Mapping[date, CalendarDay]:
    """What each day has.

    Parameters
    ----------
    studies
        Their ids, and as `day` what stands for the day in `days`.
    """
    day = studies.c.day
    rows = await connection.execute(select(day, func.count()).group_by(day))
    found = {days[name]: CalendarDay(day=days[name], studies=n) for name, n in rows if name in days}
    kinds = await connection.execute(
        select(day, _series.c.modality, func.count(distinct(studies.c.id)))
        .join_from(studies, _series, _series.c.study_id == studies.c.id)
        .where(_series.c.modality != "")
        .group_by(day, _series.c.modality)
        .order_by(_series.c.modality)
    )
    for name, modality, number in kinds:
        if name in days:
            found[days[name]].modalities[modality] = number
    return found
