"""What a de-identification process does: files in, files out, and how each of them went.

Runs in processes of its own, so that a file that takes the engine down takes nothing else down.
"""

from dataclasses import dataclass
from pathlib import Path

from services.anonymizer.engine import ObjectUids, Plan, deidentify
from services.anonymizer.processes import live_with_parent
from shared import telemetry
from shared.errors import Reason, Reject, Retry
from shared.settings import Settings
from shared.spool import Spool, disk_trouble


@dataclass(frozen=True)
class Job:
    """One original to be de-identified."""

    delivery_id: int
    source_key: str
    target_key: str
    plan: Plan
    uids: ObjectUids
    """The object that the ledger says it is."""


@dataclass(frozen=True)
class Done:
    """How a job went. `held` and `waits` are None when the copy is written."""

    delivery_id: int
    held: Reason | None = None
    waits: Reason | None = None
    detail: str = ""
    remarks: int = 0
    """How many things in it were odd and were dealt with (a malformed date, emptied)."""


def do_jobs(spool_root: Path, jobs: list[Job]) -> list[Done]:
    """Do the jobs one after the other."""
    spool = Spool(spool_root)
    return [_do_job(spool, job) for job in jobs]


def _do_job(spool: Spool, job: Job) -> Done:
    try:
        # The copy's name need not survive a power cut: it can be made again.
        with disk_trouble(), spool.writing(job.target_key, durable_name=False) as target:
            report = deidentify(spool.path(job.source_key), target, job.plan, job.uids)
    except Reject as error:
        return Done(job.delivery_id, held=error.reason, detail=error.detail)
    except Retry as error:
        return Done(job.delivery_id, waits=error.reason, detail=error.detail)
    return Done(job.delivery_id, remarks=len(report.warnings))


def begin(settings: Settings) -> None:
    """What a new process does first: log as its parent does, and end when its parent is gone."""
    telemetry.configure_logging(settings)
    live_with_parent()
