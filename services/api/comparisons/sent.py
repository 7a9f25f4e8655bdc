"""What the ledger says a project's research PACS should have, and how it is sent again."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select

from services.api.problems import FieldError, ProblemError
from shared.admission import Objection
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.deliveries import move
from shared.ledger.keeping import lacks_originals
from shared.ledger.starting import Assigned, in_batches
from shared.ledger.states import ENDED, DeliveryState
from shared.ledger.tables import Delivery, Release, Transfer, core
from shared.ledger.transfers import lock_studies, run, set_priority
from shared.priority import Priority

_transfer, _delivery, _release = core(Transfer), core(Delivery), core(Release)


class Sent(NamedTuple):
    """What was sent of a study."""

    study_id: int
    released_study_uid: str
    delivered: int
    in_flight: int


async def sent(
    connection: Connection, project_id: int, *, limit: int, after: int | None
) -> list[Sent]:
    """What was sent of a project's studies, by study id."""
    rows = await connection.execute(
        select(_release.c.study_id, _release.c.released_study_uid)
        .where(_release.c.project_id == project_id, _release.c.study_id > (after or 0))
        .order_by(_release.c.study_id)
        .limit(limit)
    )
    released = {row.study_id: row.released_study_uid for row in rows}
    delivered = await _delivered(connection, project_id, released)
    in_flight = await _in_flight(connection, project_id, released)
    return [
        Sent(study_id, uid, delivered.get(study_id, 0), in_flight.get(study_id, 0))
        for study_id, uid in released.items()
    ]


async def send_again(
    connection: Connection, project_id: int, study_ids: list[int], *, patience: float
) -> tuple[list[int], Assigned]:
    """Start what was delivered of studies again, from the originals.

    Returns
    -------
    The transfers, and their deliveries.

    Raises
    ------
    ProblemError
        A study is not in the project (any more), or its originals were removed.
    """
    rows = await connection.execute(
        select(_transfer.c.study_id, _transfer.c.id)
        .where(
            _transfer.c.project_id == project_id,
            _transfer.c.study_id.in_(study_ids),
            _transfer.c.state.not_in(ENDED),
        )
        .order_by(_transfer.c.id)
    )
    transfers: dict[int, int] = {row.study_id: row.id for row in rows}
    if strangers := [
        FieldError(field=f"study_ids.{place}", message="The project does not have this study.")
        for place, study_id in enumerate(study_ids)
        if study_id not in transfers
    ]:
        raise ProblemError(422, "The request breaks a rule.", strangers)
    await lock_studies(connection, transfers.values())
    gone = await lacks_originals(connection, transfers)
    if lacking := [
        FieldError(field=f"study_ids.{place}", message=Objection.ORIGINALS_EVICTED.in_words)
        for place, study_id in enumerate(study_ids)
        if study_id in gone
    ]:
        raise ProblemError(409, "What was removed can't be sent again.", lacking)
    assigned = await _restart(connection, transfers.values(), patience)
    return sorted({batch.transfer_id for batch in assigned}), assigned


async def _restart(
    connection: Connection, transfer_ids: Iterable[int], patience: float
) -> Assigned:
    rows = await connection.execute(
        select(_delivery.c.transfer_id, _delivery.c.series_id, _delivery.c.id, _delivery.c.revision)
        .where(
            _delivery.c.transfer_id.in_(list(transfer_ids)),
            _delivery.c.state == DeliveryState.FORWARDED,
        )
        .order_by(_delivery.c.id)
    )
    forwarded = rows.all()
    moved = await move(
        connection,
        DeliveryState.ASSIGNED,
        [
            {"id": row.id, "revision": row.revision, "attempts": 0, "reason": None, "detail": ""}
            for row in forwarded
        ],
        due_at=now() + timedelta(seconds=patience),
        step="api",
    )
    places = [(row.transfer_id, row.series_id, row.id) for row in forwarded if row.id in moved]
    again = {place[0] for place in places}
    await run(connection, again)
    # Of a whole archive that was lost, maybe: what arrives today is not to wait for it.
    await set_priority(connection, again, Priority.BULK)
    return in_batches(places, dict.fromkeys(again, Priority.BULK))


async def _delivered(
    connection: Connection, project_id: int, study_ids: Iterable[int]
) -> dict[int, int]:
    # What a cancelled transfer delivered is there as well, and may be what the next one delivered.
    rows = await connection.execute(
        select(_transfer.c.study_id, func.count(_delivery.c.instance_id.distinct()))
        .join_from(_transfer, _delivery)
        .where(
            _transfer.c.project_id == project_id,
            _transfer.c.study_id.in_(list(study_ids)),
            _delivery.c.state == DeliveryState.FORWARDED,
        )
        .group_by(_transfer.c.study_id)
    )
    return {row[0]: row[1] for row in rows}


async def _in_flight(
    connection: Connection, project_id: int, study_ids: Iterable[int]
) -> dict[int, int]:
    rows = await connection.execute(
        select(_transfer.c.study_id, func.sum(_transfer.c.in_flight))
        .where(_transfer.c.project_id == project_id, _transfer.c.study_id.in_(list(study_ids)))
        .group_by(_transfer.c.study_id)
    )
    return {row[0]: row[1] for row in rows}
