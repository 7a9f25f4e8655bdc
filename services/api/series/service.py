"""Reads series."""

from typing import Any

from sqlalchemy import Select, select

from services.api.paging import Page, page_of
from services.api.problems import not_found
from services.api.series.schemas import SeriesRead, labels_of
from shared.ledger import Connection
from shared.ledger.tables import Series, Study, core

_series, _study = core(Series), core(Study)


async def list_page(
    connection: Connection, study_id: int, limit: int, after: int | None
) -> Page[SeriesRead]:
    """A study's series, in the order in which they began to arrive; a 404 problem without it."""
    query = (
        select(_series)
        .where(_series.c.study_id == study_id, _series.c.id > (after or 0))
        .order_by(_series.c.id)
        .limit(limit + 1)
    )
    found = await _read(connection, query)
    if not found and not await _exists(connection, study_id):
        raise not_found("study")
    return page_of(found, limit)


async def get(connection: Connection, series_id: int) -> SeriesRead:
    """One series; a 404 problem when there is none."""
    found = await _read(connection, select(_series).where(_series.c.id == series_id))
    if not found:
        raise not_found("series")
    return found[0]


async def _exists(connection: Connection, study_id: int) -> bool:
    return await connection.scalar(select(_study.c.id).where(_study.c.id == study_id)) is not None


async def _read(connection: Connection, query: Select[Any]) -> list[SeriesRead]:
    rows = (await connection.execute(query)).mappings()
    return [
        SeriesRead.model_validate(dict(row) | {"labels": labels_of(row["labels"])}) for row in rows
    ]
