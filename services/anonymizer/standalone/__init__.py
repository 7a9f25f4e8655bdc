"""The engine by itself: files, folders and ZIPs in, a folder of de-identified copies out.

plan = Plan(project="BICAM", key=read_key(Path("bicam.key")), participant="BICAM_001")
report = deidentify(Path("in.dcm"), target, plan)
summary = deidentify_all([Path("in")], Path("out"), plan)
"""

from services.anonymizer.engine import Plan, deidentify
from services.anonymizer.standalone.keys import KeyFileError, make_key, read_key
from services.anonymizer.standalone.outcomes import Outcome, OutcomeKind, Summary
from services.anonymizer.standalone.patients import SeveralPatients
from services.anonymizer.standalone.run import deidentify_all

__all__ = [
    "KeyFileError",
    "Outcome",
    "OutcomeKind",
    "Plan",
    "SeveralPatients",
    "Summary",
    "deidentify",
    "deidentify_all",
    "make_key",
    "read_key",
]
