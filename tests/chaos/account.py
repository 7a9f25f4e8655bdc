"""What must be true when a fault is over: every image accounted for, once, byte by byte."""

import asyncio
import os
from contextlib import suppress
from io import BytesIO

from sqlalchemy import select

from demo.phantoms import Study
from services.anonymizer.engine import ObjectUids, deidentify
from services.anonymizer.work import plan_of
from shared.identity import MasterKey
from shared.ledger import Ledger
from shared.ledger.tables import (
    Delivery,
    Instance,
    Participant,
    Project,
    Series,
    Transfer,
    core,
)
from shared.ledger.tables import Study as StudyRow
from shared.settings import Settings
from tests.e2e.deployment import Deployment
from tests.servers.common import wait_for
from tests.servers.orthanc import Orthanc

_delivery, _transfer, _instance = core(Delivery), core(Transfer), core(Instance)
_series, _study, _project = core(Series), core(StudyRow), core(Project)
_participant = core(Participant)


def require_all_delivered(
    system: Deployment, pacs: Orthanc, studies: dict[str, Study], seconds: float = 180
) -> None:
    """The images of all `studies`, by participant, are delivered, and nothing else is left.

    Delivered once in the ledger, complete and unchanged at the PACS: byte by byte what the engine
    makes of the original when nothing disturbs it (law 3).
    """
    count = sum(len(study.instances) for study in studies.values())
    transfers = system.ended(len(studies), count, seconds)
    for one in transfers:
        counts = one["counts"]
        settled = counts["delivered"] + counts["held"] + counts["failed"]
        assert counts["received"] == settled == counts["delivered"], counts
        assert counts["in_flight"] == 0
    undisturbed = asyncio.run(_undisturbed(system))
    assert len(undisturbed) == count
    there = {}
    for participant in studies:
        for instance in pacs.find_instances(PatientID=participant):
            there[instance["MainDicomTags"]["SOPInstanceUID"]] = pacs.file(instance["ID"])
    assert there.keys() == undisturbed.keys()
    for uid, content in undisturbed.items():
        assert _data_set(there[uid]) == _data_set(content)
    require_tidy(system)


def require_tidy(system: Deployment) -> None:
    """No temporary file, nothing in the inbox, and nothing that the doctor finds wrong."""
    # An association whose receiver was killed ends a day later: let it be.
    for left in (system.spool / "inbox").iterdir():
        with suppress(FileNotFoundError):
            os.utime(left, (0, 0))
    wait_for(lambda: not list((system.spool / "inbox").iterdir()), "the inbox to be empty")
    # Whoever was killed in mid-write left a file. It goes when it is a day old: let it be.
    for left in (system.spool / "tmp").iterdir():
        with suppress(FileNotFoundError):
            os.utime(left, (0, 0))
    wait_for(lambda: not list((system.spool / "tmp").iterdir()), "old temporary files to be swept")
    examined = system.run("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr


def _data_set(content: bytes) -> bytes:
    """What stands behind the meta information, whose length comes first (PS3.10 7.1)."""
    assert content[128:136] == b"DICM\x02\x00\x00\x00", content[:140]
    return content[144 + int.from_bytes(content[140:144], "little") :]


async def _undisturbed(system: Deployment) -> dict[str, bytes]:
    """What the engine makes of each delivered original, by released SOP Instance UID."""
    ledger = Ledger(Settings(database_url=system.postgres_url))  # type: ignore[arg-type]
    try:
        async with ledger.reading() as connection:
            rows = (
                await connection.execute(
                    select(
                        _instance.c.spool_key, _instance.c.sop_instance_uid,
                        _series.c.series_instance_uid, _study.c.study_instance_uid,
                        _transfer.c.event, _transfer.c.site, _participant.c.pseudonym,
                        _project.c.code, _project.c.secret, _project.c.date_shift_days,
                        _project.c.identifier_scheme, _project.c.profile,
                        _delivery.c.released_sop_uid,
                    )
                    .join_from(_delivery, _instance)
                    .join(_series, _series.c.id == _delivery.c.series_id)
                    .join(_transfer, _transfer.c.id == _delivery.c.transfer_id)
                    .join(_study, _study.c.id == _transfer.c.study_id)
                    .join(_project, _project.c.id == _transfer.c.project_id)
                    .join(_participant, _participant.c.id == _transfer.c.participant_id)
                )
            ).all()  # fmt: skip
    finally:
        await ledger.close()
    made, master_key = {}, MasterKey(system.master_key)
    for row in rows:
        target = BytesIO()
        uids = ObjectUids(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        deidentify(system.spool / row.spool_key, target, plan_of(row, master_key), uids)
        made[row.released_sop_uid] = target.getvalue()
    return made
