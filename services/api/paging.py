"""Lists come in pages: `limit` rows after the row with id `after`."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select

Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]
After = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="`next` of the page before this one.")
]


class Row(BaseModel):
    """What lists consist of."""

    id: int = Field(description="Its number here.")


T = TypeVar("T")
RowT = TypeVar("RowT", bound=Row)


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T] = Field(description="The rows.")
    next: int | None = Field(description="Pass as `after` for the next page; null on the last.")


def newest_first(
    query: Select[Any], row_id: ColumnElement[int], limit: int, after: int | None
) -> Select[Any]:
    """`query` cut to one page, and one row more, which tells `page_of` that there is more."""
    if after is not None:
        query = query.where(row_id < after)
    return query.order_by(row_id.desc()).limit(limit + 1)


def page_of(rows: Sequence[RowT], limit: int) -> Page[RowT]:
    """The page whose query asked for one row more than `limit`."""
    more = len(rows) > limit
    return Page(items=list(rows[:limit]), next=rows[limit - 1].id if more else None)
