"""Identifiers in places where nobody expects them, and bytes that make readers stumble."""

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset, Sequence

from demo.phantoms import Maker
from services.anonymizer.engine import deidentify
from services.anonymizer.engine.documents import checked
from services.anonymizer.engine.tokens import Tokens
from shared.errors import Reject
from tests.cleaning import WordSweep, map_uid
from tests.unit.test_engine import PLAN, deidentified, saved


def image(**values: str) -> Dataset:
    found = Maker(4, size=16).ct(1).instances[0]
    found.PatientName, found.PatientID = "Nordmann^Kari", "A12345"
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00180015, "CS", "KARI NORDMANN"),
        (0x00180015, "CS", "A12345-1"),
        (0x0008103E, "LO", "Nordmann.001.dcm"),
        (0x0008103E, "UI", "1.2.840.99999.4711.20200214.1"),
        (0x00204000, "LT", "born 12.03.1945"),
    ],
)
def test_identifiers_do_not_hide(
    tmp_path: Path, tag: int, vr: str, value: str, explain: bool
) -> None:
    original = image(PatientBirthDate="19450312", StudyInstanceUID="1.2.840.99999.4711.20200214.1")
    original[tag] = DataElement(tag, vr, value)
    target = BytesIO()
    deidentify(saved(original, tmp_path), target, PLAN, explain=explain)
    for secret in (b"NORDMANN", b"Nordmann", b"A12345", b"20200214.1", b"12.03.1945"):
        assert secret not in target.getvalue()


def test_a_text_where_nested_pixels_belong_is_read(tmp_path: Path) -> None:
    icon = Dataset()
    icon[0x7FE00010] = DataElement(0x7FE00010, "LT", "of Nordmann^Kari")
    original = image()
    original[0x00880200] = DataElement(0x00880200, "SQ", Sequence([icon]))
    target = BytesIO()
    try:
        deidentify(saved(original, tmp_path), target, PLAN)
    except Reject:
        return
    assert b"Nordmann" not in target.getvalue()


def test_bytes_that_pydicom_calls_a_disk_fault_are_the_files_own(tmp_path: Path) -> None:
    path = saved(image(), tmp_path)
    broken = b"\x40\0\x30\xa7SQ\0\0\x0a\0\0\0\xfe\xff\x00\xe0\0\0\0\0ab"
    raw = path.read_bytes()
    place = raw.index(b"\xe0\x7f\x10\0")
    path.write_bytes(raw[:place] + broken + raw[place:])
    with pytest.raises(Reject):
        deidentified(path)


def test_a_document_of_very_many_streams_is_searched_or_held_soon() -> None:
    small = b"stream\n" + zlib.compress(b"x") + b"\nendstream\n"
    tokens = Tokens(WordSweep(["Nordmann"]), map_uid, [], 0)
    document = small * 15_000 + b"stream\n" + zlib.compress(b"of Nordmann") + b"\nendstream"
    with pytest.raises(Reject, match="holds identifiers"):
        checked(tokens, document)
    with pytest.raises(Reject, match="too large to be searched"):
        checked(tokens, small * 25_000)
