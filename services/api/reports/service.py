"""Reads what was taken into projects in a time."""

from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import func, select

from services.api.reports.schemas import ProjectReport
from services.api.studies.days import within
from shared.ledger import Connection
from shared.ledger.counts import COUNTERS, Counts
from shared.ledger.tables import Project, Transfer, core

_project, _transfer = core(Project), core(Transfer)


async def by_project(
    connection: Connection,
    projects: list[int] | None,
    requested_from: date | None,
    requested_to: date | None,
) -> list[ProjectReport]:
    """The report of each of these projects, None for all, by code."""
    query = select(_project.c.id, _project.c.code, _project.c.title, _project.c.rek_number)
    if projects is not None:
        query = query.where(_project.c.id.in_(projects))
    asked = within(_transfer.c.requested_at, requested_from, requested_to)
    states = await _states(connection, asked)
    sums = await _sums(connection, asked)
    return [
        ProjectReport(
            project=row.code,
            title=row.title,
            rek_number=row.rek_number,
            transfers=states.get(row.id, {}),
            **sums.get(row.id, _NOTHING),
        )
        for row in await connection.execute(query.order_by(_project.c.code))
    ]


_NOTHING: dict[str, Any] = {
    "participants": 0,
    "instances": Counts(),
    "first_requested_at": None,
    "last_requested_at": None,
}


async def _states(connection: Connection, asked: list[Any]) -> dict[int, dict[Any, int]]:
    rows = await connection.execute(
        select(_transfer.c.project_id, _transfer.c.state, func.count())
        .where(*asked)
        .group_by(_transfer.c.project_id, _transfer.c.state)
    )
    found: dict[int, dict[Any, int]] = defaultdict(dict)
    for project, state, count in rows:
        found[project][state] = count
    return found


async def _sums(connection: Connection, asked: list[Any]) -> dict[int, dict[str, Any]]:
    rows = await connection.execute(
        select(
            _transfer.c.project_id,
            func.count(_transfer.c.participant_id.distinct()).label("participants"),
            func.min(_transfer.c.requested_at).label("first"),
            func.max(_transfer.c.requested_at).label("last"),
            *(func.sum(one).label(one.name) for one in COUNTERS),
        )
        .where(*asked)
        .group_by(_transfer.c.project_id)
    )
    return {
        row["project_id"]: {
            "participants": row["participants"],
            "instances": Counts(**{one.name: row[one.name] for one in COUNTERS}),
            "first_requested_at": row["first"],
            "last_requested_at": row["last"],
        }
        for row in rows.mappings()
    }
