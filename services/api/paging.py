"""Lists come in pages: `limit` rows after the row with id `after`."""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]
After = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="`next` of the page before this one.")
]


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T] = Field(description="The rows.")
    next: int | None = Field(description="Pass as `after` for the next page; null on the last.")


def page_of(rows: Sequence[T], ids: Sequence[int], limit: int) -> Page[T]:
    """The page whose query asked for one row more than `limit`, to see whether there is more."""
    more = len(rows) > limit
    return Page(items=list(rows[:limit]), next=ids[limit - 1] if more else None)
