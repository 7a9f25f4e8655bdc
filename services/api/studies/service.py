"""Reads studies."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import RowMapping

from services.api.paging import Page, newest_first, page_of
from services.api.problems import not_found
from services.api.series.schemas import labels_of
from services.api.studies.filters import StudyQuery, conditions, identified_by
from services.api.studies.schemas import Hold, StudyRead
from shared.admission import Objection
from shared.ledger import Connection
from shared.ledger.states import ENDED
from shared.ledger.tables import Project, Series, Study, Transfer, core

_study, _series = core(Study), core(Series)
_transfer, _project = core(Transfer), core(Project)


async def list_page(
    connection: Connection,
    wanted: StudyQuery,
    seen: ColumnElement[bool],
    text: str | None = None,
) -> Page[StudyRead]:
    """Studies, the newest first.

    Parameters
    ----------
    seen
        What holds for those that may be seen.
    text
        Only those with this accession number, patient id or StudyInstanceUID.
    """
    query = newest_first(
        select(_study).where(seen, *conditions(connection, wanted)),
        _study.c.id,
        wanted.limit,
        wanted.after,
    )
    if text is not None:
        query = query.where(identified_by(text))
    rows = (await connection.execute(query)).mappings().all()
    return page_of(await _read(connection, rows), wanted.limit)


async def get(connection: Connection, study_id: int) -> StudyRead:
    """One study; a 404 problem when there is none."""
    rows = (await connection.execute(select(_study).where(_study.c.id == study_id))).mappings()
    found = await _read(connection, list(rows))
    if not found:
        raise not_found("study")
    return found[0]


async def _read(connection: Connection, rows: Iterable[RowMapping]) -> list[StudyRead]:
    ids = [row["id"] for row in rows]
    projects = await _projects(connection, ids)
    modalities, labels = await _kinds(connection, ids)
    return [
        StudyRead.model_validate(
            dict(row)
            | {
                "modalities": sorted(modalities[row["id"]]),
                "labels": sorted(labels[row["id"]]),
                "projects": projects[row["id"]],
                "hold": hold_of(row),
                "routing_note": Objection(row["routing_note"]).in_words
                if row["routing_note"]
                else None,
            }
        )
        for row in rows
    ]


def hold_of(row: RowMapping) -> Hold | None:
    """The legal hold in a study's row."""
    if row["held_since"] is None:
        return None
    return Hold(reason=row["hold_reason"], by=row["hold_by"], since=row["held_since"])


async def _projects(connection: Connection, study_ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    rows = await connection.execute(
        select(_transfer.c.study_id, _project.c.code)
        .join_from(_transfer, _project)
        .where(_transfer.c.study_id.in_(study_ids), _transfer.c.state.not_in(ENDED))
        .order_by(_project.c.code)
    )
    for study_id, code in rows:
        found[study_id].append(code)
    return found


async def _kinds(
    connection: Connection, study_ids: list[int]
) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """The modalities and the labels of the studies' series."""
    modalities: dict[int, set[str]] = defaultdict(set)
    labels: dict[int, set[str]] = defaultdict(set)
    rows = await connection.execute(
        select(_series.c.study_id, _series.c.modality, _series.c.labels).where(
            _series.c.study_id.in_(study_ids)
        )
    )
    for study_id, modality, found in rows:
        if modality:
            modalities[study_id].add(modality)
        labels[study_id].update(labels_of(found))
    return modalities, labels
