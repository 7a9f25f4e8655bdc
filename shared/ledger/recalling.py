"""Takes transfers back: cancels what is under way, and recalls what was delivered.

A recall is a release that is to be deleted at its destination, by Sluse or by a person. The
forwarder does the deleting (`services.forwarder.recalls`).
"""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, insert, select, update

from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.couplings import Kind, spellings
from shared.ledger.database import Connection
from shared.ledger.deliveries import Assigned, lock, restart, withdraw
from shared.ledger.states import (
    ENDED,
    Deletion,
    RecallState,
    TransferState,
    transfer_sources_of,
)
from shared.ledger.tables import (
    Coupling,
    Destination,
    Project,
    Recall,
    Release,
    Study,
    Transfer,
    core,
)

_transfer, _project, _destination = core(Transfer), core(Project), core(Destination)
_recall, _release, _coupling = core(Recall), core(Release), core(Coupling)
_study = core(Study)
_other = _transfer.alias("other")

BY_SLUSE = frozenset({Deletion.ORTHANC, Deletion.DICOMWEB})
"""How Sluse deletes by itself."""
_LEASE = timedelta(minutes=5)
"""After that a try that was begun and not noted counts as lost."""


async def cancel(connection: Connection, transfer_id: int) -> bool:
    """Stop a transfer; what is delivered stays there. Whether it could be stopped.

    The caller holds the lock of the study, so that no instance is added meanwhile.
    """
    await lock(connection, transfer_id)
    if not await _end(connection, transfer_id, TransferState.CANCELLED):
        return False
    await withdraw(connection, transfer_id, forwarded=False)
    return True


async def recall(connection: Connection, transfer_id: int, *, replaced: bool = False) -> bool:
    """Take a transfer back, with what is delivered of it. Whether it could be taken back.

    The caller holds the lock of the study.

    Parameters
    ----------
    replaced
        Copies with the same UIDs are to take its place.
    """
    await lock(connection, transfer_id)
    if not await _end(connection, transfer_id, TransferState.RECALLED):
        return False
    delivered = await withdraw(connection, transfer_id, forwarded=True)
    row = (
        await connection.execute(
            select(_release.c.released_study_uid, _destination.c.id, _destination.c.deletion)
            .join_from(_transfer, _project)
            .join(
                _release,
                (_release.c.study_id == _transfer.c.study_id)
                & (_release.c.project_id == _transfer.c.project_id),
            )
            .outerjoin(_destination, _destination.c.id == _project.c.destination_id)
            .where(_transfer.c.id == transfer_id)
        )
    ).first()
    if row is None:
        return True  # nothing of it was ever released
    # An image may be on its way out just now, so what was released counts as being there.
    state = RecallState.ASKED if row.deletion in BY_SLUSE else RecallState.BY_HAND
    if replaced and row.deletion == Deletion.OVERWRITES:
        state = RecallState.DONE
    await connection.execute(
        insert(_recall).values(
            transfer_id=transfer_id,
            destination_id=row.id,
            released_study_uid=row.released_study_uid,
            instances=delivered,
            state=state,
            detail="",
            asked_at=now(),
            due_at=now(),
            attempts=0,
            done_at=now() if state is RecallState.DONE else None,
        )
    )
    return True


async def _end(connection: Connection, transfer_id: int, state: TransferState) -> bool:
    result = await connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id, _transfer.c.state.in_(transfer_sources_of(state)))
        .values(state=state, changed_at=now())
    )
    return result.rowcount > 0


async def uncouple(
    connection: Connection, transfer_id: int, patient_id: str, master_key: MasterKey
) -> None:
    """Forget that the patient is the participant of a transfer that was taken back, where no other
    transfer in force says so.
    """
    mistaken = (
        select(_transfer.c.participant_id).where(_transfer.c.id == transfer_id).scalar_subquery()
    )
    await connection.execute(
        delete(_coupling).where(
            _coupling.c.participant_id == mistaken,
            _coupling.c.patient_key == master_key.index(Kind.PATIENT, patient_id),
            ~exists().where(
                _other.c.participant_id == mistaken,
                _other.c.state.not_in(ENDED),
                _study.c.id == _other.c.study_id,
                _study.c.patient_id.in_(spellings(patient_id)),
            ),
        )
    )


def waits_for_deletion() -> ColumnElement[bool]:
    """Whether a transfer must not start yet: copies of the same study in the same project, with
    the same UIDs, are still to be deleted at the destination, and its own would go with them.
    """
    return exists().where(
        _recall.c.state != RecallState.DONE,
        _other.c.id == _recall.c.transfer_id,
        _other.c.study_id == _transfer.c.study_id,
        _other.c.project_id == _transfer.c.project_id,
    )


async def startable(connection: Connection, transfer_ids: Iterable[int]) -> list[int]:
    """Those of the transfers that are in force and need not wait for a deletion."""
    found = await connection.scalars(
        select(_transfer.c.id)
        .where(
            _transfer.c.id.in_(list(transfer_ids)),
            _transfer.c.state.not_in(ENDED),
            ~waits_for_deletion(),
        )
        .order_by(_transfer.c.id)
    )
    return list(found)


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
    return found


async def postpone(connection: Connection, recall_id: int, delay: float, detail: str) -> None:
    """Try a recall again in `delay` seconds."""
    await connection.execute(
        update(_recall)
        .where(_recall.c.id == recall_id, _recall.c.state == RecallState.ASKED)
        .values(due_at=now() + timedelta(seconds=delay), detail=detail[:200])
    )


async def is_shared(connection: Connection, recall_id: int) -> bool:
    """Whether another project delivers a study of the same UID to the same destination, as where
    profiles keep UIDs: deleting that study would take its images as well.
    """
    found = await connection.scalar(
        select(_release.c.id)
        .join_from(_recall, _transfer)
        .join(_release, _release.c.released_study_uid == _recall.c.released_study_uid)
        .join(_project, _project.c.id == _release.c.project_id)
        .where(
            _recall.c.id == recall_id,
            _release.c.project_id != _transfer.c.project_id,
            _project.c.destination_id == _recall.c.destination_id,
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
    connection: Connection, recall_id: int, *, patience: float
) -> tuple[list[int], Assigned] | None:
    """Note that a release is gone; None where that was known already.

    Returns
    -------
    The transfers that waited for it, and deliveries of such that had been started before and whose
    copies went with it.
    """
    transfer_id = await connection.scalar(
        update(_recall)
        .where(_recall.c.id == recall_id, _recall.c.state != RecallState.DONE)
        .values(state=RecallState.DONE, done_at=now(), detail="")
        .returning(_recall.c.transfer_id)
    )
    if transfer_id is None:
        return None
    rows = await connection.execute(
        select(_other.c.id, _other.c.state)
        .join_from(
            _transfer,
            _other,
            (_other.c.study_id == _transfer.c.study_id)
            & (_other.c.project_id == _transfer.c.project_id),
        )
        .where(_transfer.c.id == transfer_id, _other.c.state.not_in(ENDED))
    )
    waiting: list[int] = []
    assigned: Assigned = []
    for other_id, state in rows.all():
        if state == TransferState.REQUESTED:
            waiting.append(other_id)
        else:
            assigned += await restart(connection, other_id, patience=patience)
    return waiting, assigned


async def again(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Ask once more for what was recalled: an image had been on its way out meanwhile."""
    by_sluse = select(_destination.c.id).where(_destination.c.deletion.in_(BY_SLUSE))
    for state, which in (
        (RecallState.ASKED, _recall.c.destination_id.in_(by_sluse)),
        (RecallState.BY_HAND, _recall.c.destination_id.not_in(by_sluse)),
    ):
        await connection.execute(
            update(_recall)
            .where(_recall.c.transfer_id.in_(list(transfer_ids)), which)
            .values(state=state, due_at=now(), done_at=None)
        )
