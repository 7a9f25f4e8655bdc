"""Notes in the ledger how de-identification went."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import insert

from services.anonymizer.jobs import Done
from services.anonymizer.work import Work
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.deliveries import move
from shared.ledger.states import DeliveryState, Keeping
from shared.ledger.tables import Delivery, Finding, Release, core
from shared.ledger.transfers import settle
from shared.ledger.writing import clip, insert_or
from shared.settings import Settings

_delivery, _finding, _release = core(Delivery), core(Finding), core(Release)


async def note_written(connection: Connection, written: Sequence[Work], settings: Settings) -> None:
    """The copies are in the spool and wait to be sent."""
    await move(
        connection,
        DeliveryState.ANONYMIZED,
        [
            {
                "id": one.job.delivery_id,
                "revision": one.revision,
                "since": one.since,
                "released_sop_uid": one.released_sop_uid,
                "released_key": one.job.target_key,
                "copy_keeping": Keeping.HERE,
                "attempts": 0,
                "reason": None,
                "detail": "",
            }
            for one in written
        ],
        due_at=now() + timedelta(seconds=settings.patience),
        step="anonymizer",
    )
    releases = {(one.project_id, one.study_id): one.released_study_uid for one in written}
    if releases:
        await connection.execute(
            insert_or(connection, _release).on_conflict_do_nothing(
                index_elements=["project_id", "study_id"]
            ),
            [
                {
                    "project_id": project_id,
                    "study_id": study_id,
                    "released_study_uid": uid,
                    "released_at": now(),
                }
                for (project_id, study_id), uid in sorted(releases.items())
            ],
        )


async def note_held(connection: Connection, held: Sequence[tuple[Work, Done]]) -> None:
    """The images wait for a person; the findings say why."""
    if not held:
        return
    rows = [
        {
            "id": one.job.delivery_id,
            "revision": one.revision,
            "since": one.since,
            "reason": done.held,
            "detail": clip(_delivery, "detail", done.detail),
        }
        for one, done in held
    ]
    moved = await move(connection, DeliveryState.HELD, rows, due_at=now(), step="anonymizer")
    if not moved:
        return
    await connection.execute(
        insert(_finding),
        [
            {
                "delivery_id": row["id"],
                "reason": row["reason"],
                "evidence": {"detail": row["detail"]},
                "found_at": now(),
            }
            for row in rows
            if row["id"] in moved
        ],
    )
    await settle(connection, {one.transfer_id for one, _ in held})
