"""What a coupling list's columns may be called, and what their cells may hold."""

import re
import unicodedata
from typing import NamedTuple

from shared.identity import is_usable_uid
from shared.ledger.couplings import Kind

MAX_VALUE = 64  # characters that the ledger's columns hold, and LO (PS3.5 6.2)

PARTICIPANT, EVENT, SITE = "participant", "event", "site"
KEYS = (Kind.STUDY, Kind.ACCESSION, Kind.PATIENT)

# Words of a heading run together, as `_plain` makes them.
_NATIONAL = {"fødselsnummer", "fodselsnummer", "fødselsnr", "fodselsnr", "personnummer", "fnr"}
_HEADINGS = {
    Kind.ACCESSION: """accession accessionnumber accessionno accessionnr accessionnummer accno accnr
        aksesjon aksesjonsnummer aksesjonnummer aksesjonsnr 00080050""",
    Kind.STUDY: "studyinstanceuid studyuid studieuid studieinstansuid siuid 0020000d",
    Kind.PATIENT: """patientid patientnumber patientno pasientid pasientnummer pasientnr mrn
        00100020""",
    PARTICIPANT: """participant participantid participantnumber deltaker deltakerid deltakernummer
        deltakernr pseudonym subject subjectid forsøksperson""",
    EVENT: "event eventname redcapeventname visit timepoint besøk visitt hendelse",
    SITE: "site sitename center centre senter sted",
}
_MEANINGS = {
    **{name: meaning for meaning, names in _HEADINGS.items() for name in names.split()},
    **dict.fromkeys(_NATIONAL, Kind.PATIENT),
}

_LITERAL = re.compile(r'="([^"]*)"')  # how exports keep Excel from making a number of a text
_SHORTENED = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+")
_AGAIN = "Format the column as text and enter it again."
_NOT_TEXT = {
    "date": f"Excel has made a date of this. {_AGAIN}",
    "truth": f"Excel has made a true/false value of this. {_AGAIN}",
    "error": "Excel shows an error here.",
    "formula": "This is a formula. Copy the column and paste it as values.",
}
_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#I/T", "#VERDI!"}


class Cell(NamedTuple):
    """What stands in a cell."""

    kind: str
    """`text` or `number`, or one of those that no field takes: date, truth, formula, error."""
    text: str


def _plain(heading: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", heading).casefold())


def meaning_of(heading: str) -> str | None:
    """Which column a heading is for; None for one that is not read."""
    return _MEANINGS.get(_plain(heading))


def value_of(cell: Cell, meaning: str, heading: str) -> tuple[str, str]:
    """What a cell says in the column `meaning`, and what is wrong with it in words."""
    national = _plain(heading) in _NATIONAL
    text = cell.text.strip()
    if found := _LITERAL.fullmatch(text):
        text = found[1].strip()
    elif cell.kind in _NOT_TEXT or text.startswith("="):
        return text, _NOT_TEXT.get(cell.kind, _NOT_TEXT["formula"])
    if national:
        text = text.replace(" ", "")
    return text, _complaint(text, cell.kind, meaning, national)


def _complaint(text: str, kind: str, meaning: str, national: bool) -> str:
    if text in _ERRORS:
        return _NOT_TEXT["error"]
    if len(text) > MAX_VALUE:
        return f"This is too long: at most {MAX_VALUE} characters."
    if not text.isprintable() or "\\" in text:
        return "There is a line break, a backslash or an invisible character in this."
    if meaning in (*KEYS, PARTICIPANT) and _SHORTENED.fullmatch(text):
        return f"Excel has shortened this number, and its last digits are lost. {_AGAIN}"
    if kind == "number" and not text.isdigit():
        return f"Excel has made a number of this. {_AGAIN}"
    if kind == "number" and len(text) > 15:
        return f"Excel keeps only 15 digits of a number: the last ones are lost. {_AGAIN}"
    if national and text.isdigit() and len(text) < 11:
        digits = len(text)
        return f"This has {digits} digits instead of 11: a zero at the beginning is lost."
    if meaning == Kind.STUDY and text and not is_usable_uid(text):
        return "This is not a StudyInstanceUID: they are digits and dots."
    return ""
