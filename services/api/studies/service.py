"""Reads studies."""

from collections import defaultdict

from sqlalchemy import exists, select
from sqlalchemy.engine import RowMapping

from services.api.paging import Page, newest_first, page_of
from services.api.problems import not_found
from services.api.studies.schemas import StudyRead
from shared.admission import Objection
from shared.ledger import Connection
from shared.ledger.counts import instances_by_study
from shared.ledger.tables import Project, Study, Transfer, core

_study, _transfer, _project = core(Study), core(Transfer), core(Project)


async def list_page(
    connection: Connection,
    *,
    unassigned: bool | None,
    study_instance_uid: str | None,
    limit: int,
    after: int | None,
) -> Page[StudyRead]:
    """Studies, the newest first."""
    query = newest_first(select(_study), _study.c.id, limit, after)
    if study_instance_uid is not None:
        query = query.where(_study.c.study_instance_uid == study_instance_uid)
    if unassigned is not None:
        assigned = exists().where(_transfer.c.study_id == _study.c.id)
        query = query.where(~assigned if unassigned else assigned)
    rows = (await connection.execute(query)).mappings().all()
    return page_of(await _read(connection, list(rows)), limit)


async def get(connection: Connection, study_id: int) -> StudyRead:
    """One study; a 404 problem when there is none."""
    rows = (await connection.execute(select(_study).where(_study.c.id == study_id))).mappings()
    found = await _read(connection, list(rows))
    if not found:
        raise not_found("study")
    return found[0]


async def _read(connection: Connection, rows: list[RowMapping]) -> list[StudyRead]:
    ids = [row["id"] for row in rows]
    counts = await instances_by_study(connection, ids)
    projects: dict[int, list[str]] = defaultdict(list)
    assigned = await connection.execute(
        select(_transfer.c.study_id, _project.c.code)
        .join_from(_transfer, _project)
        .where(_transfer.c.study_id.in_(ids))
        .order_by(_project.c.code)
    )
    for study_id, code in assigned:
        projects[study_id].append(code)
    return [
        StudyRead.model_validate(
            dict(row)
            | {
                "series": counts.get(row["id"], (0, 0))[0],
                "instances": counts.get(row["id"], (0, 0))[1],
                "projects": projects[row["id"]],
                "routing_note": Objection(row["routing_note"]).in_words
                if row["routing_note"]
                else None,
            }
        )
        for row in rows
    ]
