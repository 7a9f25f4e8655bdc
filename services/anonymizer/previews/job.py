"""What a de-identification process does for a preview: the real copy, made, compared, forgotten."""

from dataclasses import dataclass
from pathlib import Path

from services.anonymizer.engine import ObjectUids, Plan, Report, deidentify
from services.anonymizer.engine.outline import Outline
from services.anonymizer.previews.comparing import compare, pixels_kept
from shared.errors import Reason, Reject, Retry
from shared.previewing import Comparison
from shared.spool import Spool


@dataclass(frozen=True)
class PreviewJob:
    """One original, and the plan under the proposed profile."""

    source_key: str
    plan: Plan
    uids: ObjectUids
    """The object that the ledger says it is."""


@dataclass(frozen=True)
class PreviewMade:
    """What came of it: one of the first three."""

    comparison: Comparison | None = None
    held: Reason | None = None
    failed: Reason | None = None
    detail: str = ""


def make_preview(spool_root: Path, job: PreviewJob) -> PreviewMade:
    """De-identify the original into a file without a name, and compare the two."""
    spool = Spool(spool_root)
    try:
        with spool.nameless() as (target, path):
            source = spool.path(job.source_key)
            report = deidentify(source, target, job.plan, job.uids, explain=True)
            target.flush()
            return PreviewMade(_compared(source, path, report))
    except Reject as error:
        return PreviewMade(held=error.reason, detail=error.detail)
    except Retry as error:
        return PreviewMade(failed=error.reason, detail=error.detail)
    except Exception as error:
        # Whatever comparing stumbles over in a hostile file. Its text may quote values.
        return PreviewMade(failed=Reason.UNREADABLE, detail=type(error).__qualname__)


def _compared(source: Path, copy: Path, report: Report) -> Comparison:
    reasons = {one.path: one.why for one in report.changes}
    with Outline(source) as old, Outline(copy) as new:
        found = compare(old.read(), new.read(), reasons, remarks=len(report.warnings))
        if old.pixels is not None:
            found.elements.append(pixels_kept(old.pixels, old.pixel_bytes, new.pixel_bytes))
        return found
