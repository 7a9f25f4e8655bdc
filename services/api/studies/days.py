"""Days as people mean them: whole ones, in the server's time zone."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy import ColumnElement

Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2999, 12, 31))]

_NEXT = timedelta(days=1)


def start_of(day: date) -> datetime:
    """The first moment of a day."""
    return datetime.combine(day, time.min).astimezone()


def days_between(first: date, last: date) -> Iterator[date]:
    """All days from `first` to `last`, both included."""
    for number in range((last - first).days + 1):
        yield first + number * _NEXT


def within(
    column: ColumnElement[datetime], first: date | None, last: date | None
) -> list[ColumnElement[bool]]:
    """What holds for moments from day `first` to day `last`, both included; None is open."""
    found = []
    if first is not None:
        found.append(column >= start_of(first))
    if last is not None:
        found.append(column < start_of(last + _NEXT))
    return found
