"""Brings the images of an accepted import into the inbox, as one association.

Repeatable at every step: an image that has come in before, and was catalogued since, comes in as a
duplicate and changes nothing.
"""

import asyncio
from pathlib import Path

from sqlalchemy import delete, select, update

from services.api.imports import reporting
from services.api.imports.service import forget, locked, move
from services.api.nudging import nudge
from shared import telemetry
from shared.announcing import received_events
from shared.clock import now
from shared.events import BATCH, AssociationClosed
from shared.importing import CALLING, Kind
from shared.ledger import Connection
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportItem, ImportStudy, core
from shared.runtime import Runtime
from shared.spool import Association

log = telemetry.logger("api")

_item, _study = core(ImportItem), core(ImportStudy)


async def bring(runtime: Runtime, found: Import) -> None:
    """Bring an import's images in; the state is `accepted` then, and its folder is gone.

    Raises
    ------
    Retry
        The disk is full or broken, or the database is away.
    """
    assert found.id is not None
    spool, association_id = runtime.spool, found.association_id
    sender = Association(
        calling_aet=CALLING,
        called_aet=runtime.settings.ae_title,
        peer_address=found.peer_address,
        opened_at=found.changed_at,
    )
    await asyncio.to_thread(spool.write_association, association_id, sender)
    images = await _images(runtime, found)
    for start in range(0, len(images), BATCH):
        batch = dict(images[start : start + BATCH])
        await asyncio.to_thread(spool.bring_in, batch)
        events = await asyncio.to_thread(received_events, spool, batch)
        await nudge(runtime, events, correlation_id=association_id)
    ended = sender.model_copy(update={"closed_at": now(), "completed": True})
    await asyncio.to_thread(spool.write_association, association_id, ended)
    await nudge(
        runtime, [AssociationClosed(association_id=association_id)], correlation_id=association_id
    )
    async with runtime.ledger.transaction() as connection:
        await _close(connection, found.id)
    await asyncio.to_thread(spool.staging(association_id).remove)
    telemetry.ASSOCIATIONS.labels("import").inc()
    telemetry.INSTANCES.labels("import", "0x0000").inc(len(images))
    log.info("import brought in", imported=found.id, association=association_id, images=len(images))


async def _images(runtime: Runtime, found: Import) -> list[tuple[str, Path]]:
    """The images of the accepted studies: the key that each gets, and where it lies."""
    staging = runtime.spool.staging(found.association_id)
    async with runtime.ledger.reading() as connection:
        rows = await connection.execute(
            select(_item.c.file_id, _item.c.member)
            .join(
                _study,
                (_study.c.import_id == _item.c.import_id)
                & (_study.c.study_instance_uid == _item.c.study_instance_uid),
            )
            .where(
                _item.c.import_id == found.id,
                _item.c.kind == Kind.IMAGE,
                _study.c.accepted_at.is_not(None),
            )
            .order_by(_item.c.id)  # always the same numbers, whoever does it
        )
        return [
            (runtime.spool.inbox_key(found.association_id, number), staging.unpacked(*row))
            for number, row in enumerate(rows, start=1)
        ]


async def _close(connection: Connection, import_id: int) -> None:
    """Forget what was uploaded, and who the patients are: the studies themselves say that now."""
    if (await locked(connection, import_id)).state != ImportState.BRINGING:
        return
    counts = await reporting.counts_of(connection, import_id)
    await move(connection, import_id, ImportState.ACCEPTED, counts=counts)
    await forget(connection, import_id)
    of_import = _study.c.import_id == import_id
    await connection.execute(delete(_study).where(of_import, _study.c.accepted_at.is_(None)))
    await connection.execute(
        update(_study)
        .where(of_import)
        .values(
            patient_id="",
            patient_name="",
            patient_birth_date="",
            patient_sex="",
            accession_number="",
            study_date="",
            study_description="",
        )
    )
