"""Reads why images are held."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func, select

from services.api.findings.schemas import FindingRead
from services.api.paging import Page, newest_first, page_of
from services.api.problems import not_found
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.states import DeliveryState
from shared.ledger.tables import Delivery, Finding, Project, Transfer, core

_finding, _delivery = core(Finding), core(Delivery)
_transfer, _project = core(Transfer), core(Project)


async def list_page(
    connection: Connection,
    within_projects: list[int] | None,
    *,
    project: str | None,
    transfer_id: int | None,
    is_open: bool | None,
    limit: int,
    after: int | None,
) -> Page[FindingRead]:
    """Findings of these projects, None for all, the newest first."""
    query = newest_first(_within(within_projects), _finding.c.id, limit, after)
    if project is not None:
        query = query.where(_project.c.code == project)
    if transfer_id is not None:
        query = query.where(_delivery.c.transfer_id == transfer_id)
    if is_open is not None:
        query = query.where(_is_open() if is_open else ~_is_open())
    rows = (await connection.execute(query)).mappings()
    return page_of([_read(row) for row in rows], limit)


async def get(
    connection: Connection, within_projects: list[int] | None, finding_id: int
) -> FindingRead:
    """One finding; a 404 problem when there is none in these projects."""
    query = _within(within_projects).where(_finding.c.id == finding_id)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise not_found("finding")
    return _read(row)


def _within(projects: list[int] | None) -> Select[Any]:
    query = (
        select(
            _finding,
            _delivery.c.transfer_id,
            _project.c.code.label("project"),
            _is_open().label("is_open"),
        )
        .join_from(_finding, _delivery)
        .join(_transfer, _transfer.c.id == _delivery.c.transfer_id)
        .join(_project, _project.c.id == _transfer.c.project_id)
    )
    return query if projects is None else query.where(_transfer.c.project_id.in_(projects))


def _is_open() -> Any:
    """Held, and for the newest that was found: an image that comes again may be held anew."""
    other = _finding.alias()
    newest = select(func.max(other.c.id)).where(other.c.delivery_id == _finding.c.delivery_id)
    held = _delivery.c.state == DeliveryState.HELD
    return and_(held, _finding.c.id == newest.scalar_subquery())


def _read(row: Mapping[Any, Any]) -> FindingRead:
    kind = Reason(row["reason"])
    detail = row["evidence"].get("detail", "")
    return FindingRead.model_validate(
        dict(row) | {"kind": kind, "reason": kind.in_words, "detail": detail}
    )
