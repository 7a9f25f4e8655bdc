"""Reads recalls, and notes what a person deleted."""

from typing import Any

from sqlalchemy import Select, select

from services.api.paging import Page, page_of
from services.api.problems import ProblemError, not_found
from services.api.recalls.schemas import RecalledInstance, RecallRead
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.auditing import Action, audit
from shared.ledger.deleting import done
from shared.ledger.starting import Assigned
from shared.ledger.states import RecallState
from shared.ledger.tables import Delivery, Destination, Project, Recall, Transfer, core

_recall, _transfer, _delivery = core(Recall), core(Transfer), core(Delivery)
_project, _destination = core(Project), core(Destination)


async def list_page(
    connection: Connection,
    *,
    state: RecallState | None,
    within_projects: list[int] | None,
    limit: int,
    after: int | None,
) -> Page[RecallRead]:
    """Recalls, the newest first.

    Parameters
    ----------
    within_projects
        Only those of these; None for all.
    """
    query = _select().order_by(_recall.c.id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(_recall.c.state == state)
    if within_projects is not None:
        query = query.where(_transfer.c.project_id.in_(within_projects))
    if after is not None:
        query = query.where(_recall.c.id < after)
    found = await _read(connection, query)
    return page_of(found, limit)


async def get(connection: Connection, recall_id: int) -> RecallRead:
    """One recall; a 404 problem when there is none."""
    found = await _read(connection, _select().where(_recall.c.id == recall_id))
    if not found:
        raise not_found("recall")
    return found[0]


async def of_transfer(connection: Connection, transfer_id: int) -> list[RecallRead]:
    """The recalls of a transfer, one for each place that something of it went to."""
    query = _select().where(_recall.c.transfer_id == transfer_id).order_by(_recall.c.id)
    return await _read(connection, query)


async def instances(
    connection: Connection, recall_id: int, *, limit: int, after: int | None
) -> Page[RecalledInstance]:
    """The images of a recalled release that are, or may be, at the destination."""
    transfer_id = (await get(connection, recall_id)).transfer_id
    rows = await connection.execute(
        select(_delivery.c.id, _delivery.c.released_sop_uid)
        .where(
            _delivery.c.transfer_id == transfer_id,
            _delivery.c.released_sop_uid.is_not(None),
            _delivery.c.id > (after or 0),
        )
        .order_by(_delivery.c.id)
        .limit(limit + 1)
    )
    found = [RecalledInstance.model_validate(dict(row)) for row in rows.mappings()]
    return page_of(found, limit)


async def note_done(
    connection: Connection, recall_id: int, patience: float
) -> tuple[list[int], Assigned]:
    """A person has deleted a release; what can go on, as `shared.ledger.recalling.done` has it."""
    before = await get(connection, recall_id)
    coming = await connection.scalar(
        select(_recall.c.again_at).where(_recall.c.id == recall_id, _recall.c.again_at > now())
    )
    if coming is not None:
        wait = round((coming - now()).total_seconds()) + 1
        raise ProblemError(
            409,
            f"Images may still be on their way there: look again in {wait} seconds, then say so.",
        )
    follows = await done(connection, recall_id, patience=patience)
    if follows is None:
        raise ProblemError(409, "It is deleted already.")
    await audit(
        connection,
        Action.RECALL_DONE,
        recall=recall_id,
        transfer=before.transfer_id,
        before={"state": before.state},
        after={"state": RecallState.DONE},
    )
    return follows


def _select() -> Select[Any]:
    return (
        select(
            _recall,
            _transfer.c.study_id,
            _project.c.code.label("project"),
            _destination.c.name.label("destination"),
        )
        .join_from(_recall, _transfer)
        .join(_project, _project.c.id == _transfer.c.project_id)
        .outerjoin(_destination, _destination.c.id == _recall.c.destination_id)
    )


async def _read(connection: Connection, query: Select[Any]) -> list[RecallRead]:
    rows = await connection.execute(query)
    return [RecallRead.model_validate(dict(row)) for row in rows.mappings()]
