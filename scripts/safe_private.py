"""Makes shared/profile/safe-private.csv, Table E.3.10-1 of PS3.15, from the standard.

    python scripts/safe_private.py e3_10_1.json > shared/profile/safe-private.csv

The argument is the table as JSON with a digest of its rows, as the project pymedphys/pymedphys
extracts it from the standard's HTML (`lib/pymedphys/_dicom/deidentify/_standard/e3_10_1.json`).
"""

import csv
import hashlib
import json
import re
import sys
from pathlib import Path

_ELEMENT = re.compile(r"\(([0-9A-F]{4}),XX([0-9A-F]{2})\)")


def _digest(rows: list[dict[str, str]]) -> str:
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _place(tag: str) -> tuple[str, str]:
    """The group, and the element in its block."""
    found = _ELEMENT.fullmatch(tag.upper())
    if found is None:
        raise ValueError(f"{tag} is no private element")
    return found[1], found[2]


def main(path: Path) -> None:
    """Write the table to the standard output."""
    table = json.loads(path.read_text("utf-8"))
    if _digest(table["rows"]) != table["content_sha256"]:
        raise ValueError(f"the rows of {path.name} are not those that its digest is of")
    print("# Table E.3.10-1, Safe Private Attributes, of DICOM PS3.15, edition", table["edition"])
    print("# as PyMedPhys extracts it; made by scripts/safe_private.py. SHA-256 of its rows:")
    print(f"# {table['content_sha256']}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["creator", "group", "element", "vr", "vm", "meaning"])
    for row in table["rows"]:
        place = _place(row["tag"])
        writer.writerow([row["private_creator"], *place, row["vr"], row["vm"], row["meaning"]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
