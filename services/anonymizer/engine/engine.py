"""De-identifies one object: with the fast reader where the file is plain, else the careful one."""

import warnings
from pathlib import Path
from typing import BinaryIO

from services.anonymizer.engine import careful, fast
from services.anonymizer.engine.heads import Unsure
from services.anonymizer.engine.objects import ObjectUids
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Report
from shared.errors import Reason, Reject


def deidentify(
    source: Path,
    target: BinaryIO,
    plan: Plan,
    expected: ObjectUids | None = None,
    *,
    explain: bool = False,
) -> Report:
    """Write the de-identified copy of the Part 10 file `source` to `target`.

    Parameters
    ----------
    target
        Empty, open for writing.
    expected
        The object that the file must be, if that is known.
    explain
        Have every change in the report; slower.

    Raises
    ------
    Reject
        The object can't be de-identified with certainty.
    OSError
        A file can't be read or written.
    """
    report = Report()
    with warnings.catch_warnings():
        # pydicom's warnings quote values.
        warnings.simplefilter("ignore")
        try:
            _deidentify(source, target, plan, expected, report, explain=explain)
        except Reject:
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            # pydicom's word for bytes that it can't make sense of: no disk's fault.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, type(error).__qualname__) from None
        except Exception as error:
            # Whatever a reader stumbles over in a hostile file. Its text may quote values.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, type(error).__qualname__) from None
    return report


def _deidentify(
    source: Path,
    target: BinaryIO,
    plan: Plan,
    expected: ObjectUids | None,
    report: Report,
    *,
    explain: bool,
) -> None:
    if not explain:
        try:
            return fast.deidentify(source, target, plan, expected, report)
        except Unsure:
            report.warnings.clear()
    return careful.deidentify(source, target, plan, expected, report)
