"""Reads a spreadsheet, in a process of its own: `python workbook.py ROWS < list.xlsx`.

openpyxl was not made for hostile files: what they inflate, expand or make its regular expressions
do is bounded here by the process's memory and time. Formulas are told of, never evaluated. Writes
JSON: how many sheets there are, the title of the one that was read, and its rows that are not
blank, each a number and the cells.
"""

import json
import resource
import sys
import zipfile
from datetime import date, time, timedelta
from io import BytesIO
from typing import Any

from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES

CPU_SECONDS = 60  # 100,000 rows of five columns take some 10
MEMORY = 1 << 30  # bytes
MAX_INFLATED = 128 << 20  # bytes; those 100,000 rows are 40 MB
MAX_TEXT = 64 << 20  # characters of all cells
COLUMNS = 64
LAST_ROW = 1_048_576  # Excel's own
_CUT = 200  # characters; no field is that long


class TooLargeError(Exception):
    """More than a list needs."""


def read(file: bytes, most_rows: int) -> tuple[int, str, list[Any]]:
    """Number of sheets, title of the first one that is shown, and up to `most_rows` rows of it."""
    archive = zipfile.ZipFile(BytesIO(file))
    # zipfile never reads more of a member than it declares, but of the rarer methods it may
    # inflate a whole block at once.
    if sum(member.file_size for member in archive.infolist()) > MAX_INFLATED or any(
        member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        for member in archive.infolist()
    ):
        raise TooLargeError
    sheets = load_workbook(BytesIO(file), read_only=True, keep_links=False).worksheets
    sheet = next((one for one in sheets if one.sheet_state == "visible"), sheets[0])
    rows: list[Any] = []
    length = 0
    previous = None
    for number, cells in enumerate(sheet.iter_rows(max_row=LAST_ROW, max_col=COLUMNS), start=1):
        if cells is previous:
            continue  # what openpyxl fills gaps with: there may be a million of it
        previous = cells
        row = [_cell(cell.value, str(cell.data_type)) for cell in cells]
        while row and row[-1][1] == "":
            row.pop()
        length += sum(len(text) for _, text in row)
        if row:
            rows.append((number, row))
        if length > MAX_TEXT:
            raise TooLargeError
        if len(rows) == most_rows:
            break
    return len(sheets), str(sheet.title), rows


def _cell(value: Any, data_type: str) -> tuple[str, str]:
    """A cell's kind and text, as `reading` takes them; empty cells have no text."""
    if value is None:
        return "text", ""
    if isinstance(value, bool):
        return "truth", str(value)
    if isinstance(value, (int, float)):
        whole = isinstance(value, int) or value.is_integer()
        return "number", str(int(value) if whole else value)[:_CUT]
    if isinstance(value, (date, time, timedelta)):
        return "date", str(value)
    if data_type == "f":
        return "formula", str(value)[:_CUT]
    if value in ERROR_CODES:
        return "error", value
    return "text", str(value)[:_CUT]


def main() -> None:
    """Read standard input, write standard output; anything wrong with the file is a failure."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    found = read(sys.stdin.buffer.read(), int(sys.argv[1]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
