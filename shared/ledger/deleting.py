"""How deleting recalled releases goes: who may try, what waits for it, what is asked anew."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.deliveries import lock_where
from shared.ledger.recalling import BY_SLUSE, startable
from shared.ledger.starting import Assigned, restart
from shared.ledger.states import ENDED, RecallState, TransferState
from shared.ledger.tables import Delivery, Destination, Recall, Release, SentTo, Transfer, core

_transfer, _destination = core(Transfer), core(Destination)
_recall, _release, _sent_to = core(Recall), core(Release), core(SentTo)
_delivery = core(Delivery)
_other = _transfer.alias("other")

_LEASE = timedelta(minutes=5)
"""After that a try that was begun and not noted counts as lost."""


async def due(connection: Connection, limit: int) -> list[Recall]:
    """Recalls that Sluse should try now; each is due again in a while, should this try be lost."""
    rows = await connection.execute(
        select(_recall)
        .where(_recall.c.state == RecallState.ASKED, _recall.c.due_at <= now())
        .order_by(_recall.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [Recall.model_validate(dict(row)) for row in rows.mappings()]
    if found:
        await connection.execute(
            update(_recall)
            .where(_recall.c.id.in_([one.id for one in found]))
            .values(attempts=_recall.c.attempts + 1, due_at=now() + _LEASE)
        )
    for one in found:
        one.attempts += 1
    return found


async def postpone(connection: Connection, recall_id: int, delay: float, detail: str) -> None:
    """Try a recall again in `delay` seconds."""
    await connection.execute(
        update(_recall)
        .where(_recall.c.id == recall_id, _recall.c.state == RecallState.ASKED)
        .values(due_at=now() + timedelta(seconds=delay), detail=detail[:200])
    )


async def is_shared(connection: Connection, recall_id: int) -> bool:
    """Whether another project has a study of the same UID at the same destination, as where
    profiles keep UIDs: deleting that study would take its images as well.
    """
    theirs = _transfer.alias("theirs")
    found = await connection.scalar(
        select(_release.c.id)
        .join_from(_recall, _transfer)
        .join(_release, _release.c.released_study_uid == _recall.c.released_study_uid)
        .join(
            theirs,
            (theirs.c.study_id == _release.c.study_id)
            & (theirs.c.project_id == _release.c.project_id),
        )
        .join(_sent_to, _sent_to.c.transfer_id == theirs.c.id)
        .where(
            _recall.c.id == recall_id,
            _release.c.project_id != _transfer.c.project_id,
            _sent_to.c.destination_id == _recall.c.destination_id,
            theirs.c.state != TransferState.RECALLED,
        )
        .limit(1)
    )
    return found is not None


async def leave_to_a_person(connection: Connection, recall_id: int, detail: str) -> None:
    """Sluse can't delete a release by itself."""
    await connection.execute(
        update(_recall)
        .where(_recall.c.id == recall_id, _recall.c.state == RecallState.ASKED)
        .values(state=RecallState.BY_HAND, detail=detail)
    )


async def done(
    connection: Connection, recall_id: int, *, patience: float, attempt: int | None = None
) -> tuple[list[int], Assigned] | None:
    """Note that a release is gone; None where that was known already, or it must be done again.

    Parameters
    ----------
    attempt
        Which try it was, if it was Sluse's: it counts only if nothing was asked for since.

    Returns
    -------
    The transfers that waited for it, and deliveries of such that had been started before and whose
    copies went with it.
    """
    others = await _others(connection, recall_id)
    # Deliveries before recalls, as those lock them who ask for a deletion again.
    await lock_where(connection, _delivery.c.transfer_id.in_([one.id for one in others]))
    rows = await connection.execute(
        select(_recall).where(_recall.c.id == recall_id).with_for_update()
    )
    recall = rows.one()
    if recall.state == RecallState.DONE or attempt not in (None, recall.attempts):
        return None
    if attempt is not None and recall.again_at is not None:
        await _once_more(connection, recall_id)
        return None
    await connection.execute(
        update(_recall)
        .where(_recall.c.id == recall_id)
        .values(state=RecallState.DONE, done_at=now(), detail="", again_at=None)
    )
    return await _what_follows(connection, others, patience)


async def _once_more(connection: Connection, recall_id: int) -> None:
    """Some images were on their way when it was asked for: they may have come after this try."""
    await connection.execute(
        update(_recall)
        .where(_recall.c.id == recall_id)
        .values(
            due_at=_recall.c.again_at,
            again_at=None,
            detail="deleted; looked for once more, since images were on their way",
        )
    )


async def _others(connection: Connection, recall_id: int) -> Sequence[Row[Any, Any]]:
    """The transfers in force of the recalled study in the same project."""
    rows = await connection.execute(
        select(_other.c.id, _other.c.state)
        .join_from(_recall, _transfer)
        .join(
            _other,
            (_other.c.study_id == _transfer.c.study_id)
            & (_other.c.project_id == _transfer.c.project_id),
        )
        .where(_recall.c.id == recall_id, _other.c.state.not_in(ENDED))
        .order_by(_other.c.id)
    )
    return rows.all()


async def _what_follows(
    connection: Connection, others: Sequence[Row[Any, Any]], patience: float
) -> tuple[list[int], Assigned]:
    waiting = [one.id for one in others if one.state == TransferState.REQUESTED]
    assigned: Assigned = []
    for one in others:
        if one.id not in waiting:
            assigned += await restart(connection, one.id, patience=patience)
    return await startable(connection, waiting), assigned


async def again(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Ask once more for what was recalled: an image had been on its way out meanwhile.

    A try that is under way just now counts as none: it may have looked before the image came.
    """
    wanted = list(transfer_ids)
    by_sluse = select(_destination.c.id).where(_destination.c.deletion.in_(BY_SLUSE))
    for state, which in (
        (RecallState.ASKED, _recall.c.destination_id.in_(by_sluse)),
        (RecallState.BY_HAND, _recall.c.destination_id.not_in(by_sluse)),
    ):
        await connection.execute(
            update(_recall)
            .where(_recall.c.transfer_id.in_(wanted), which)
            .values(
                state=state,
                attempts=_recall.c.attempts + 1,
                due_at=now(),
                done_at=None,
                detail="an image came after it was deleted",
            )
        )
