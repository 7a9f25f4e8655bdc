"""Reads a project's participants, and how far the project is."""

from typing import Any

from sqlalchemy import func, select

from services.api.paging import Page, page_of
from services.api.participants.schemas import LastTransfer, ParticipantRead, Progress
from services.api.problems import not_found
from shared.ledger import Connection
from shared.ledger.counts import total_counts, transfers_by_state
from shared.ledger.states import ENDED
from shared.ledger.tables import Participant, Project, Transfer, core

_participant, _transfer, _project = core(Participant), core(Transfer), core(Project)


async def project_id(connection: Connection, code: str) -> int:
    """The project's id; a 404 problem when there is none."""
    found: int | None = await connection.scalar(
        select(_project.c.id).where(_project.c.code == code)
    )
    if found is None:
        raise not_found("project")
    return found


async def list_page(
    connection: Connection, code: str, *, starts_with: str | None, limit: int, after: int | None
) -> Page[ParticipantRead]:
    """A project's participants, the newest first."""
    query = (
        select(_participant)
        .where(_participant.c.project_id == await project_id(connection, code))
        .order_by(_participant.c.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(_participant.c.id < after)
    if starts_with is not None:
        query = query.where(_participant.c.pseudonym.startswith(starts_with, autoescape=True))
    rows = (await connection.execute(query)).mappings().all()
    ids = [row["id"] for row in rows]
    studies, last = await _studies(connection, ids), await _last_transfers(connection, ids)
    found = [
        ParticipantRead.model_validate(
            dict(row) | {"studies": studies.get(row["id"], 0), "last_transfer": last.get(row["id"])}
        )
        for row in rows
    ]
    return page_of(found, limit)


async def progress(connection: Connection, code: str) -> Progress:
    """How far a project is."""
    project = await project_id(connection, code)
    return Progress(
        participants=await connection.scalar(
            select(func.count())
            .select_from(_participant)
            .where(_participant.c.project_id == project)
        )
        or 0,
        transfers=await transfers_by_state(connection, project),
        instances=await total_counts(connection, project),
    )


async def numbers(connection: Connection) -> dict[int, int]:
    """How many participants each project has that has any, by its id."""
    rows = await connection.execute(
        select(_participant.c.project_id, func.count()).group_by(_participant.c.project_id)
    )
    return {row[0]: row[1] for row in rows}


async def _studies(connection: Connection, participant_ids: list[int]) -> dict[int, int]:
    # A study is in a project once, so its transfers in force are as many as its studies.
    rows = await connection.execute(
        select(_transfer.c.participant_id, func.count())
        .where(_transfer.c.participant_id.in_(participant_ids), _transfer.c.state.not_in(ENDED))
        .group_by(_transfer.c.participant_id)
    )
    return {row[0]: row[1] for row in rows}


async def _last_transfers(
    connection: Connection, participant_ids: list[int]
) -> dict[int, LastTransfer]:
    last = (
        select(func.max(_transfer.c.id))
        .where(_transfer.c.participant_id.in_(participant_ids))
        .group_by(_transfer.c.participant_id)
    )
    rows = (await connection.execute(select(_transfer).where(_transfer.c.id.in_(last)))).mappings()
    return {row["participant_id"]: _last_transfer(row) for row in rows}


def _last_transfer(row: Any) -> LastTransfer:
    return LastTransfer.model_validate({name: row[name] for name in LastTransfer.model_fields})
