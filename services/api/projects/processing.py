"""Processes all studies of a project again, and says beforehand what that would take."""

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select

from services.api.admitting import field_errors
from services.api.problems import ProblemError, not_found
from services.api.projects.schemas import Estimate
from shared.admission import refusals
from shared.ledger import Connection, Ledger
from shared.ledger.auditing import Action, audit
from shared.ledger.counts import COUNTERS
from shared.ledger.starting import Assigned, restart
from shared.ledger.states import ENDED, DeliveryState, TransferState
from shared.ledger.tables import Delivery, Instance, Project, Study, Transfer, core
from shared.ledger.transfers import lock_studies
from shared.priority import Priority

_transfer, _delivery, _instance = core(Transfer), core(Delivery), core(Instance)
_project, _study = core(Project), core(Study)

_AT_ONCE = 20
"""Transfers that one transaction starts again, so that nobody waits long for it."""
_SAMPLE = 10_000
"""Images whose mean size stands for all."""
_RECENT = 20_000
"""Deliveries whose pace stands for the coming ones."""
_PAUSE = 10.0
"""Seconds without a delivery that count as having nothing to do."""


async def estimate(connection: Connection, code: str) -> Estimate:
    """What processing a project again would take; a 404 problem when there is none."""
    project = await _find(connection, code)
    total: ColumnElement[int] = func.sum(sum(COUNTERS[1:], start=COUNTERS[0]))
    studies, images = (
        await connection.execute(
            select(func.count(), func.coalesce(total, 0)).where(_affected(project))
        )
    ).one()
    pace = await _pace(connection)
    lacking = select(func.count()).select_from(_transfer).where(_begun(project), _lacking())
    return Estimate(
        studies=studies,
        evicted=await connection.scalar(lacking) or 0,
        images=images,
        bytes=round(images * await _mean_size(connection, project)),
        seconds=round(images / pace) if pace else None,
    )


async def process_again(ledger: Ledger, code: str, patience: float) -> AsyncIterator[Assigned]:
    """Start every delivery of a project again, some studies at a time.

    Whoever is interrupted may ask again: what was started again already is so once more, and
    nothing is delivered under another UID.

    Raises
    ------
    ProblemError
        There is no such project, it takes no images at present, or the originals of all its
        studies were removed.
    """
    async with ledger.transaction() as connection:
        project = await _find(connection, code)
        _require_open(project)
        last = await connection.scalar(select(func.max(_transfer.c.id)).where(_affected(project)))
        found = await estimate(connection, code)
        if found.evicted and not found.studies:
            raise ProblemError(
                409, "The originals of all its studies were removed in their time: have them sent "
                "again first.",
            )  # fmt: skip
        await audit(
            connection,
            Action.PROJECT_PROCESSED_AGAIN,
            project=project.id,
            transfers_up_to=last,
            studies=found.studies,
            images=found.images,
        )
    done = 0
    while last is not None and done < last:
        async with ledger.transaction() as connection:
            some = await connection.scalars(
                select(_transfer.c.id)
                .where(_affected(project), _transfer.c.id > done, _transfer.c.id <= last)
                .order_by(_transfer.c.id)
                .limit(_AT_ONCE)
            )
            ids = list(some)
            await lock_studies(connection, ids)
            assigned: Assigned = []
            for transfer_id in await _still(connection, project, ids):
                assigned += await restart(
                    connection, transfer_id, patience=patience, priority=Priority.BULK
                )
        yield assigned
        done = ids[-1] if ids else last


async def _find(connection: Connection, code: str) -> Project:
    row = (await connection.execute(select(_project).where(_project.c.code == code))).mappings()
    found = row.first()
    if found is None:
        raise not_found("project")
    return Project.model_validate(dict(found))


def _require_open(project: Project) -> None:
    against = [one for one in refusals(project, None, "", "") if one.field == "project"]
    if against:
        raise ProblemError(422, "The request breaks a rule.", field_errors(against, project))


def _affected(project: Project) -> ColumnElement[bool]:
    """Transfers that have begun, of studies whose originals are all here."""
    return _begun(project) & ~_lacking()


def _lacking() -> ColumnElement[bool]:
    return exists().where(_study.c.id == _transfer.c.study_id, _study.c.evicted > 0)


def _begun(project: Project) -> ColumnElement[bool]:
    """Transfers that have begun. One that is only requested takes everything as it is then."""
    return (_transfer.c.project_id == project.id) & _transfer.c.state.not_in(
        [TransferState.REQUESTED, *ENDED]
    )


async def _still(connection: Connection, project: Project, ids: list[int]) -> list[int]:
    """Those that are still to be started again: nobody has ended them, or removed originals."""
    found = await connection.scalars(
        select(_transfer.c.id)
        .where(_transfer.c.id.in_(ids), _affected(project))
        .order_by(_transfer.c.id)
    )
    return list(found)


async def _mean_size(connection: Connection, project: Project) -> float:
    """Of a project's images, as its latest ones have it; bytes."""
    sample: Any = (
        select(_instance.c.size)
        .join_from(_transfer, _delivery)
        .join(_instance, _instance.c.id == _delivery.c.instance_id)
        .where(_affected(project))
        .order_by(_transfer.c.id.desc())
        .limit(_SAMPLE)
        .subquery()
    )
    return float(await connection.scalar(select(func.avg(sample.c.size))) or 0)


async def _pace(connection: Connection) -> float | None:
    """Images per second that were delivered lately, pauses left out; None where there were none."""
    latest = (
        select(_delivery.c.state, _delivery.c.changed_at)
        .order_by(_delivery.c.id.desc())
        .limit(_RECENT)
        .subquery()
    )
    rows = await connection.scalars(
        select(latest.c.changed_at).where(latest.c.state == DeliveryState.FORWARDED)
    )
    return pace_of(sorted(rows))


def pace_of(moments: list[datetime]) -> float | None:
    """How many per second, of things that happened at `moments`, pauses left out."""
    gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
    busy = [gap for gap in gaps if gap <= _PAUSE]
    return len(busy) / sum(busy) if sum(busy) else None
