"""The de-identification engine: a pure function from file and plan to file.

Same bytes and same plan give the same bytes (law 3). What can't be de-identified with certainty is
refused, never passed (law 4).

    plan = Plan(project="BICAM", key=secret, participant="BICAM_001")
    with open("out.dcm", "wb") as target:
        report = deidentify(Path("in.dcm"), target, plan)
"""

from services.anonymizer.engine.engine import deidentify
from services.anonymizer.engine.objects import ObjectUids
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Report

__all__ = ["ObjectUids", "Plan", "Report", "deidentify"]
