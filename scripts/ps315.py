"""Makes shared/profile/ps315.csv, Table E.1-1 of PS3.15, from the standard.

    python scripts/ps315.py confidentiality_profile_attributes.json > shared/profile/ps315.csv

The argument is the table as JSON, as the project innolitics/dicom-standard extracts it from the
standard's HTML (`standard/confidentiality_profile_attributes.json`).
"""

import csv
import json
import re
import sys
from pathlib import Path

from pydicom.datadict import dictionary_VR

EDITION = "2024b"
OPTIONS = {
    "safe_private": "rtnSafePrivOpt",
    "uids": "rtnUIDsOpt",
    "device": "rtnDevIdOpt",
    "institution": "rtnInstIdOpt",
    "patient": "rtnPatCharsOpt",
    "full_dates": "rtnLongFullDatesOpt",
    "modified_dates": "rtnLongModifDatesOpt",
    "descriptors": "cleanDescOpt",
    "structured": "cleanStructContOpt",
    "graphics": "cleanGraphOpt",
}


def _vr(tag: str) -> str:
    """The value representation of PS3.6; "" for groups and private attributes."""
    number = tag.strip("()").replace(",", "")
    return dictionary_VR(int(number, 16)).split(" ")[0] if _is_hex(number) else ""


def _is_hex(number: str) -> bool:
    return re.fullmatch("[0-9A-Fa-f]{8}", number) is not None


def _tag(text: str) -> str:
    number = text.split(")")[0].strip("(").lower()
    return f"({number})"


def main(path: Path) -> None:
    """Write the table to the standard output."""
    table = json.loads(path.read_text("utf-8"))
    print("# Table E.1-1, Application Level Confidentiality Profile Attributes, of DICOM PS3.15,")
    print(f"# edition {EDITION}; made by scripts/ps315.py. VRs are those of PS3.6.")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["tag", "name", "vr", "basic", *OPTIONS])
    for row in sorted(table, key=lambda row: row["id"]):
        tag = _tag(row["tag"])
        cells = [row.get(name, "") for name in OPTIONS.values()]
        writer.writerow([tag, row["name"], _vr(tag), row["basicProfile"], *cells])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
