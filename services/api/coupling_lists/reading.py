"""Reads a coupling list as people make it: CSV or Excel, in Norwegian or English.

Of each row it gives what the columns say, and what is wrong with it in words. Whether participant,
event and site are the project's is not asked here.
"""

import asyncio
import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.api.coupling_lists.cells import (
    EVENT,
    KEYS,
    PARTICIPANT,
    SITE,
    Cell,
    meaning_of,
    value_of,
)
from shared.ledger.couplings import Kind

MAX_FILE = 10 << 20  # bytes
MAX_ROWS = 100_000
_EXCEL_PATIENCE = 120.0  # seconds
_SEPARATORS = ";,\t"

_EXAMPLE = (
    "Name the columns in the first row, for example: accession number; participant; event; site."
)


class UnreadableError(Exception):
    """Nothing of the file can be used; the text says why, for people."""


class Complaint(NamedTuple):
    """What is wrong with a row, or odd about it."""

    row: int
    """As the spreadsheet counts."""
    column: str
    """As the file names it; empty where it is about the whole row."""
    message: str


@dataclass(frozen=True)
class Line:
    """A row of the list."""

    row: int
    keys: dict[Kind, str]
    """What it goes by: at least one."""
    participant: str
    event: str
    site: str


@dataclass
class CouplingList:
    """What a file says."""

    form: str
    """How it was read."""
    rows: int = 0
    """How many are not blank, the headings left out."""
    headings: dict[str, str] = field(default_factory=dict)
    """What the file calls the columns that were found."""
    lines: list[Line] = field(default_factory=list)
    """The rows with nothing wrong so far."""
    wrong: list[Complaint] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


async def read(file: bytes) -> CouplingList:
    """Read a CSV or Excel file.

    Raises
    ------
    UnreadableError
        It is neither, or its columns can't be told.
    """
    if file.startswith(b"PK\x03\x04"):
        return await _read_workbook(file)
    if file.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableError(
            "This is an old Excel file (.xls), or one with a password. Save it as .xlsx without a "
            "password, or as CSV."
        )
    return await asyncio.to_thread(_read_csv, file)


async def _read_workbook(file: bytes) -> CouplingList:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(Path(__file__).with_name("workbook.py")), str(MAX_ROWS + 2),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # what goes wrong may quote the file
        env={},  # no secrets
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(file), _EXCEL_PATIENCE)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not output:
        raise UnreadableError(
            "This Excel file can't be read: it is damaged, or far larger than a list. Open it and "
            "save it again as .xlsx or as CSV."
        )
    sheets, title, rows = await asyncio.to_thread(json.loads, output)
    found = await asyncio.to_thread(
        _understand,
        ((number, [Cell(*cell) for cell in cells]) for number, cells in rows),
        "Excel",
    )
    if sheets > 1:
        found.remarks.append(f"The file has {sheets} sheets; only “{title}” was read.")
    return found


def _read_csv(file: bytes) -> CouplingList:
    encoding, text = _decode(file)
    if found := re.match(r"sep=([;,\t])\r?\n", text):
        # Excel's own remark to itself; it does not show or count it as a row.
        separator, text = found[1], text[found.end() :]
    else:
        separator = max(_SEPARATORS, key=lambda one: _headings_with(text, one))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [
            (number, [Cell("text", one) for one in cells])
            for number, cells in enumerate(reader, start=1)
        ]
    except csv.Error:
        raise UnreadableError(
            f"The quotation marks near line {reader.line_num} don't match up: one that opens is "
            "never closed, or text follows one that closes."
        ) from None
    return _understand(rows, _form(separator, encoding), shifting=True)


def _form(separator: str, encoding: str) -> str:
    if separator == ";":
        return f"CSV, semicolon, {encoding}"
    return f"CSV, comma, {encoding}" if separator == "," else f"CSV, tab, {encoding}"


def _decode(file: bytes) -> tuple[str, str]:
    """The file's encoding as people call it, and its text."""
    if file.startswith((b"\xff\xfe", b"\xfe\xff")):
        attempts = [("UTF-16", "utf-16")]
    elif b"\0" in file[:2]:
        attempts = [("UTF-16", "utf-16-be" if file.startswith(b"\0") else "utf-16-le")]
    else:
        attempts = [("UTF-8", "utf-8-sig"), ("Windows-1252", "cp1252")]
    for name, codec in attempts:
        try:
            return name, file.decode(codec)
        except UnicodeDecodeError:
            continue
    raise UnreadableError("This is not a text file. Save the list as CSV (UTF-8) or as .xlsx.")


def _headings_with(text: str, separator: str) -> int:
    """How many columns are found with `separator`."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return sum(meaning_of(one.strip('" ')) is not None for one in first.split(separator))


def _columns(headings: list[Cell]) -> dict[str, int]:
    found: dict[str, int] = {}
    for position, cell in enumerate(headings):
        meaning = meaning_of(cell.text)
        if meaning in found:
            one, other = headings[found[meaning]].text.strip(), cell.text.strip()
            raise UnreadableError(
                f"Two columns are the same thing: “{one}” and “{other}”. Keep one of them."
            )
        if meaning:
            found[meaning] = position
    if PARTICIPANT not in found:
        raise UnreadableError(f"There is no column for the participant. {_EXAMPLE}")
    if not any(key in found for key in KEYS):
        raise UnreadableError(
            f"There is no column for the accession number, StudyInstanceUID or patient id. "
            f"{_EXAMPLE}"
        )
    return found


def _understand(
    rows: Iterable[tuple[int, list[Cell]]], form: str, *, shifting: bool = False
) -> CouplingList:
    """Make a list of a file's rows.

    Parameters
    ----------
    shifting
        A separator too many shifts the cells, as in CSV.
    """
    filled = (row for row in rows if any(cell.text.strip() for cell in row[1]))
    _, first = next(filled, (0, []))
    if not first:
        raise UnreadableError(f"The file is empty. {_EXAMPLE}")
    columns = _columns(first)
    found = CouplingList(
        form, headings={one: first[place].text.strip() for one, place in columns.items()}
    )
    numbers: Counter[str] = Counter()
    for row, cells in filled:
        found.rows += 1
        if found.rows > MAX_ROWS:
            raise UnreadableError(f"The list has more than {MAX_ROWS:,} rows. Split it.")
        here = {one: cells[place] for one, place in columns.items() if place < len(cells)}
        numbers.update(one for one, cell in here.items() if cell.kind == "number")
        values, wrong = _values(row, here, found.headings)
        if shifting and any(cell.text.strip() for cell in cells[len(first) :]):
            wrong.append(Complaint(row, "", "The row has more cells than there are headings."))
        wrong = wrong or list(_missing(row, values, found.headings))
        found.wrong += wrong
        if not wrong:
            found.lines.append(_line(row, values))
    found.remarks += _remarks(numbers, found.headings)
    return found


def _values(
    row: int, cells: dict[str, Cell], headings: dict[str, str]
) -> tuple[dict[str, str], list[Complaint]]:
    values: dict[str, str] = {}
    wrong = []
    for meaning, cell in cells.items():
        heading = headings[meaning]
        values[meaning], complaint = value_of(cell, meaning, heading)
        if complaint:
            wrong.append(Complaint(row, heading, complaint))
    return values, wrong


def _line(row: int, values: dict[str, str]) -> Line:
    keys = {kind: values[kind] for kind in KEYS if values.get(kind)}
    return Line(row, keys, values[PARTICIPANT], values.get(EVENT, ""), values.get(SITE, ""))


def _missing(row: int, values: dict[str, str], headings: dict[str, str]) -> Iterable[Complaint]:
    if not any(values.get(key) for key in KEYS):
        names = ", ".join(f"“{headings[key]}”" for key in KEYS if key in headings)
        yield Complaint(row, "", f"There is nothing to know the study by: fill in one of {names}.")
    if not values.get(PARTICIPANT):
        yield Complaint(row, headings[PARTICIPANT], "The participant is missing.")


def _remarks(numbers: Counter[str], headings: dict[str, str]) -> Iterable[str]:
    for meaning in (*KEYS, PARTICIPANT):
        if count := numbers[meaning]:
            heading = headings[meaning]
            yield (
                f"In “{heading}” {count} cells are numbers. Excel takes zeros away from "
                "the beginning of numbers: if there were any, format the column as text and enter "
                "them again."
            )
