"""Asks the anonymizer for previews, and shows what it has answered.

What was asked stands in the ledger; the event is a nudge, sent again as long as somebody waits.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from services.api.problems import evicted, not_found, rule_broken
from services.api.profile_previews.asking import ask
from services.api.profile_previews.schemas import PreviewCreate, PreviewRead
from services.api.rights.person import Person
from services.api.rights.studies import note_shown
from shared.clock import now
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.states import ENDED, Keeping, PreviewState
from shared.ledger.tables import Instance, Preview, Project, Series, Transfer, core
from shared.previewing import Comparison
from shared.runtime import Runtime

_preview, _project, _transfer = core(Preview), core(Project), core(Transfer)
_series, _instance = core(Series), core(Instance)

KEPT = timedelta(hours=1)
"""How long a preview is there: it holds patient data."""
_NUDGE_AGAIN = timedelta(seconds=5)


async def create(
    runtime: Runtime, person: Person, code: str, body: PreviewCreate, *, seen: str = ""
) -> int:
    """Ask for a preview; its id. The one that the person asked for before is deleted.

    Parameters
    ----------
    seen
        The digest of the project's profile that the proposed one was made from.
    """
    async with runtime.ledger.transaction() as connection:
        project = (
            await connection.execute(
                select(_project.c.id, _project.c.profile).where(_project.c.code == code)
            )
        ).one()
        await _drop(connection, _preview.c.asked_by == person.actor)
        preview_id: int = await connection.scalar(
            insert(_preview)
            .values(
                project_id=project.id,
                transfer_id=await _transfer_of(connection, project.id, body.study_id),
                instance_id=await _instance_of(connection, body),
                asked_by=person.actor,
                profile=project.profile if body.profile is None else body.profile,
                seen=seen,
                state=PreviewState.ASKED,
                detail="",
                result="",
                asked_at=now(),
                nudged_at=now(),
            )
            .returning(_preview.c.id)
        )
    await ask(runtime, preview_id)
    return preview_id


async def show(runtime: Runtime, person: Person, code: str, preview_id: int) -> PreviewRead:
    """A preview that the person has asked for; audited when it shows who the participant is."""
    row = await find(runtime, person, code, preview_id)
    await _ask_again(runtime, row)
    comparison = None
    if row.state == PreviewState.DONE:
        comparison = Comparison.opened(row.result, await runtime.load_master_key())
        await note_shown(person, runtime, [row.study_id])
    return PreviewRead(
        id=row.id,
        study_id=row.study_id,
        series_id=row.series_id,
        state=PreviewState(row.state),
        reason=Reason(row.reason).in_words if row.reason else None,
        detail=row.detail,
        asked_at=row.asked_at,
        comparison=comparison,
    )


async def find(runtime: Runtime, person: Person, code: str, preview_id: int) -> Any:
    """Its row, with study and series; a 404 problem where it is another's, old, or gone.

    A study that has left the project meanwhile is not this project's to look at any more.
    """
    async with runtime.ledger.reading() as connection:
        rows = await connection.execute(
            select(_preview, _transfer.c.study_id, _instance.c.series_id)
            .join_from(_preview, _transfer, _transfer.c.id == _preview.c.transfer_id)
            .join(_instance, _instance.c.id == _preview.c.instance_id)
            .join(_project, _project.c.id == _preview.c.project_id)
            .where(
                _preview.c.id == preview_id,
                _project.c.code == code,
                _preview.c.asked_by == person.actor,
                _preview.c.asked_at > now() - KEPT,
                _transfer.c.state.not_in(ENDED),
            )
        )
        row = rows.first()
    if row is None:
        raise not_found("preview")
    return row


async def forget_old(connection: Connection) -> int:
    """Delete previews whose time is over; how many."""
    return await _drop(connection, _preview.c.asked_at <= now() - KEPT)


async def _drop(connection: Connection, which: ColumnElement[bool]) -> int:
    return (await connection.execute(delete(_preview).where(which))).rowcount


async def _ask_again(runtime: Runtime, row: Any) -> None:
    """Nudge once more while somebody waits: messages may be lost."""
    if row.state != PreviewState.ASKED or row.nudged_at > now() - _NUDGE_AGAIN:
        return
    async with runtime.ledger.transaction() as connection:
        await connection.execute(
            update(_preview).where(_preview.c.id == row.id).values(nudged_at=now())
        )
    await ask(runtime, row.id)


async def _transfer_of(connection: Connection, project_id: int, study_id: int) -> int:
    """The transfer in force of a study in a project: it says who the participant is."""
    found: int | None = await connection.scalar(
        select(_transfer.c.id)
        .where(
            _transfer.c.project_id == project_id,
            _transfer.c.study_id == study_id,
            _transfer.c.state.not_in(ENDED),
        )
        .order_by(_transfer.c.id.desc())
        .limit(1)
    )
    if found is None:
        raise rule_broken("study_id", "There is no such study in the project.")
    return found


async def _instance_of(connection: Connection, body: PreviewCreate) -> int:
    """The first image of the series, or of the study's first series."""
    query = (
        select(_instance.c.id)
        .join_from(_instance, _series, _series.c.id == _instance.c.series_id)
        .where(_series.c.study_id == body.study_id)
        .order_by(_instance.c.series_id, _instance.c.id)
        .limit(1)
    )
    if body.series_id is not None:
        query = query.where(_series.c.id == body.series_id)
    here = query.where(_instance.c.keeping == Keeping.HERE)
    found: int | None = await connection.scalar(here)
    if found is None and await connection.scalar(query) is not None:
        raise evicted()
    if found is None:
        raise rule_broken("series_id", "There is no such series in the study.")
    return found
