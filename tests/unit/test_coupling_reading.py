"""Coupling lists as people make them, and as nobody should."""

import asyncio
import bz2
import io
import zipfile
from collections.abc import Callable
from datetime import date
from typing import Any

import openpyxl
import pytest

from services.api.coupling_lists import reading, workbook
from services.api.coupling_lists.reading import CouplingList, Line, UnreadableError, read
from shared.ledger.couplings import Kind

NORWEGIAN = "Aksesjonsnummer;Deltaker;Besøk;Senter\nA1;BICAM_001;År 1;Førde\n"
LINE = Line(2, {Kind.ACCESSION: "A1"}, "BICAM_001", "År 1", "Førde")
HEADINGS = ["accession number", "patient id", "participant", "event"]


def excel(*rows: list[Any], headings: list[Any] = HEADINGS) -> bytes:
    book = openpyxl.Workbook()
    for row in [headings, *rows]:
        book.active.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def with_sheet(sheet: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A workbook whose sheet is another."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(excel())) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            content = source.read(name)
            is_sheet = name.startswith("xl/worksheets/")
            made.writestr(
                name, sheet if is_sheet else content, method if is_sheet else zipfile.ZIP_DEFLATED
            )
    return target.getvalue()


def complaints(found: CouplingList) -> list[tuple[int, str]]:
    return [(one.row, one.column) for one in found.wrong]


async def refusal(file: bytes) -> str:
    with pytest.raises(UnreadableError) as caught:
        await read(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("codec", "form"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"),
     ("utf-16-be", "UTF-16"), ("cp1252", "Windows-1252")],
)  # fmt: skip
async def test_every_encoding_that_excel_writes_is_read(codec: str, form: str) -> None:
    found = await read(NORWEGIAN.encode(codec))
    assert found.lines == [LINE]
    assert found.form == f"CSV, semicolon, {form}"


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_every_separator_and_line_end_is_found(separator: str, line_end: str) -> None:
    text = NORWEGIAN.replace(";", separator).replace("\n", line_end)
    assert (await read(text.encode())).lines == [LINE]


async def test_excels_remark_about_the_separator_is_no_row() -> None:
    found = await read(b"sep=,\r\n" + NORWEGIAN.replace(";", ",").encode())
    assert [line.row for line in found.lines] == [2]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("Accession Number", Kind.ACCESSION), ("ACC. NO", Kind.ACCESSION),
     ("aksesjonsnr.", Kind.ACCESSION), ("(0008,0050)", Kind.ACCESSION),
     ("StudyInstanceUID", Kind.STUDY), ("Study Instance UID", Kind.STUDY),
     ("study_uid", Kind.STUDY), ("Fødselsnummer", Kind.PATIENT), ("Pasient-ID", Kind.PATIENT),
     ("PatientID", Kind.PATIENT)],
)  # fmt: skip
async def test_a_column_is_known_by_any_of_its_names(heading: str, kind: Kind) -> None:
    for participant in ("Participant", "deltaker", "Deltaker-ID", "Subject ID"):
        found = await read(f"note;{participant};{heading}\n;P1;01020312345\n;P2;1.2.3\n".encode())
        assert found.rows == 2
        assert kind in found.headings
        assert "participant" in found.headings


@pytest.mark.parametrize(
    ("file", "words"),
    [(b"", "empty"), (b"\n \n;;\n", "empty"),
     (b"accession;event\nA1;v1\n", "participant"),
     (b"participant;event\nP1;v1\n", "accession number"),
     (b"A1;BICAM_001\nA2;BICAM_002\n", "first row"),
     (b"accession;participant;deltaker\nA1;P1;P1\n", "Two columns"),
     (b'accession;participant\n"A1;P1\nA2;P2\n', "quotation marks"),
     (b"\xff\xd8\xff\xe0\x00\x10JFIF\x81\x8d", "not a text file"),
     (b"accession;participant\nA\x81;P1\n", "not a text file"),
     (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls"),
     (b"PK\x03\x04 and no more of it", "can't be read")],
    ids=["nothing", "blanks", "no participant", "no key", "no headings", "twice", "open quote",
         "picture", "codec", "old excel", "half a zip"],
)  # fmt: skip
async def test_a_file_that_is_no_list_is_told_why(file: bytes, words: str) -> None:
    assert words in await refusal(file)


@pytest.mark.parametrize(
    ("cells", "column"),
    [(";P1", ""), ("A1;", "participant"), ("A1;P1;x", ""), ("1,23E+10;P1", "accession"),
     ("=B2;P1", "accession"), ("#N/A;P1", "accession"), ("#I/T;P1", "accession"),
     ("A" * 65 + ";P1", "accession"), ("A\\1;P1", "accession"), ('"A\n1";P1', "accession"),
     ("A\0;P1", "accession"), ("A\u200b;P1", "accession"), ("A1;P\u202e1", "participant"),
         ("A\u00a01;P1", "accession")],
    ids=["no key", "no participant", "shifted", "shortened", "formula", "error",
         "norwegian error", "long", "backslash", "two lines", "nul", "zero width", "right to left",
         "hard blank"],
)  # fmt: skip
async def test_a_wrong_row_is_named_and_its_neighbours_are_read(cells: str, column: str) -> None:
    found = await read(f"accession;participant\n\n{cells}\nA9;P9\n".encode())
    assert complaints(found) == [(3, column)]
    assert [line.participant for line in found.lines] == ["P9"]
    assert found.rows == 2


async def test_a_uid_must_be_one_and_an_identity_number_must_be_whole() -> None:
    found = await read(
        b"study uid,fnr,deltaker\n1.2.x,,P1\n1.2.3,,P2\n,1020312345,P3\n,010203 12345,P4\n"
    )
    assert complaints(found) == [(2, "study uid"), (4, "fnr")]
    assert "zero" in found.wrong[1].message
    assert [line.keys for line in found.lines] == [
        {Kind.STUDY: "1.2.3"},
        {Kind.PATIENT: "01020312345"},
    ]


async def test_what_exports_write_to_keep_zeros_is_text() -> None:
    found = await read(b'accession;participant\n"=""0012""";P1\n')
    assert found.lines[0].keys == {Kind.ACCESSION: "0012"}


async def test_an_excel_file_is_read() -> None:
    found = await read(excel(["0012", None, "P1", "v1"], [], ["A2", " P-7 ", "P2", None]))
    assert found.lines == [
        Line(2, {Kind.ACCESSION: "0012"}, "P1", "v1", ""),
        Line(4, {Kind.ACCESSION: "A2", Kind.PATIENT: "P-7"}, "P2", "", ""),
    ]
    assert (found.rows, found.form, found.remarks) == (2, "Excel", [])


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.5, "number"), (-12, "number"), (1234567890123456789, "15 digits"), (True, "true/false"),
     (date(2020, 1, 5), "date"), ("=A1&B1", "formula"), ("#N/A", "error")],
)  # fmt: skip
async def test_what_excel_has_made_of_a_cell_is_told(value: object, words: str) -> None:
    found = await read(excel([value, None, "P1", "v1"]))
    assert complaints(found) == [(2, "accession number")]
    assert words in found.wrong[0].message


async def test_numbers_are_taken_and_the_zeros_they_may_have_lost_are_pointed_out() -> None:
    found = await read(excel([12, None, "P1", 1], [13.0, None, "P2", 2], ["A3", None, "P3", 2]))
    assert [line.keys[Kind.ACCESSION] for line in found.lines] == ["12", "13", "A3"]
    assert [line.event for line in found.lines] == ["1", "2", "2"]
    (remark,) = found.remarks
    assert "accession number" in remark
    assert "2 cells" in remark


async def test_the_first_sheet_that_is_shown_is_read_and_named() -> None:
    book = openpyxl.Workbook()
    book.active.sheet_state = "hidden"
    book.create_sheet("Liste").append(HEADINGS)
    book["Liste"].append(["A1", None, "P1", "v1"])
    found = await read(saved(book))
    assert len(found.lines) == 1
    assert found.remarks == ["The file has 2 sheets; only “Liste” was read."]


async def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 3)
    rows = [[f"A{number}", None, f"P{number}", "v1"] for number in range(4)]
    assert (await read(excel(*rows[:3]))).rows == 3
    assert "more than 3 rows" in await refusal(excel(*rows))
    text = "accession;participant\n" + "A;P\n" * 4
    assert "more than 3 rows" in await refusal(text.encode())


_XML = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_ENTITIES = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 12))
_LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "{"ha" * 50}">{_ENTITIES}]>'
_CELL = '<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row></sheetData></worksheet>'


@pytest.mark.parametrize(
    "make",
    [lambda: with_sheet(_XML + " " * workbook.MAX_INFLATED),
     lambda: with_sheet(_XML, zipfile.ZIP_BZIP2),
     lambda: with_sheet(_LAUGHS + _XML + _CELL.format("&e11;")),
     lambda: with_sheet(_XML + '<row r="x"><c/></row></sheetData></worksheet>'),
     lambda: with_sheet(_XML + "<row>"),
     lambda: excel()[:-200]],
    ids=["bomb", "rare method", "billion laughs", "bad row", "open", "cut"],
)  # fmt: skip
async def test_a_hostile_workbook_is_refused_in_words(make: Callable[[], bytes]) -> None:
    assert "can't be read" in await refusal(make())


async def test_a_workbook_names_no_other_file() -> None:
    there = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
    file = with_sheet(there + _XML + _CELL.format("accession &f; participant"))
    assert "can't be read" in await refusal(file)


async def test_a_workbook_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_EXCEL_PATIENCE", 0.001)
    assert "can't be read" in await refusal(excel())


async def test_a_row_at_the_end_of_the_sheet_costs_little() -> None:
    far = _XML + '<row r="1"/><row r="2000000000"><c r="XFD1"><v>1</v></c></row>'
    async with asyncio.timeout(15):
        assert "empty" in await refusal(with_sheet(far + "</sheetData></worksheet>"))


def test_the_reader_stops_at_more_text_than_a_list_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_TEXT", 100)
    with pytest.raises(workbook.TooLargeError):
        workbook.read(excel(["A" * 80, None, "P1", "v1"]), 10)


def test_the_reader_refuses_blocks_that_inflate_at_once() -> None:
    assert len(bz2.compress(b"\0" * 10_000_000)) < 1000  # why
    with pytest.raises(workbook.TooLargeError):
        workbook.read(with_sheet(_XML, zipfile.ZIP_BZIP2), 10)
