"""What a de-identification process does: files in, files out, and how each of them went.

Runs in processes of its own, so that a file that takes the engine down takes nothing else down.
"""

import multiprocessing
import os
import threading
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path

from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reason, Reject, Retry
from shared.spool import Spool, disk_trouble


@dataclass(frozen=True)
class Job:
    """One original to be de-identified."""

    delivery_id: int
    source_key: str
    target_key: str
    plan: Plan


@dataclass(frozen=True)
class Done:
    """How a job went. `held` and `waits` are None when the copy is written."""

    delivery_id: int
    held: Reason | None = None
    waits: Reason | None = None
    detail: str = ""
    actions: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def do_jobs(spool_root: Path, jobs: list[Job]) -> list[Done]:
    """Do the jobs one after the other."""
    spool = Spool(spool_root)
    return [_do_job(spool, job) for job in jobs]


def _do_job(spool: Spool, job: Job) -> Done:
    try:
        # The copy's name need not survive a power cut: it can be made again.
        with disk_trouble(), spool.writing(job.target_key, durable_name=False) as target:
            report = deidentify(spool.path(job.source_key), target, job.plan)
    except Reject as error:
        return Done(job.delivery_id, held=error.reason, detail=error.detail)
    except Retry as error:
        return Done(job.delivery_id, waits=error.reason, detail=error.detail)
    return Done(
        job.delivery_id, actions=dict(report.actions), warnings=tuple(sorted(set(report.warnings)))
    )


def die_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
