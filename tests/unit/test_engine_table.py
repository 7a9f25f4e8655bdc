"""Every row of the 2019 table, at every depth, generated from the data file itself."""

import csv
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from services.anonymizer.engine import Report, fast
from services.anonymizer.engine.heads import Unsure
from shared.profile import source_profile
from tests.helpers import part10 as part10_of
from tests.rowcases import (
    DEPTHS,
    INSTANCE,
    KEPT,
    NAME,
    PLAN,
    ROWS,
    SERIES,
    SETTLED,
    STUDY,
    Row,
    copy_of,
    encoded,
    expected,
    part10,
    values_of,
)

STATES = {"present": 1, "multi-valued": 2, "empty": 0, "absent": None}
"""How many values; a wrong VR is the business of test_engine_rows_wrong_vr.py."""


def values_in(row: Row, state: str) -> list[str] | None:
    count = STATES[state]
    return None if count is None else values_of(row, count)


def original(row: Row, state: str) -> bytes:
    values = values_in(row, state)
    element = None if values is None else (row.vr, encoded(row.vr, values))
    return part10(row.tag, element, DEPTHS)


def unknown(row: Row, state: str) -> bool:
    """Whether such an object does not say which one it is."""
    if state == "multi-valued":
        return row.tag in (STUDY, SERIES, INSTANCE)
    return state != "present" and row.tag in (STUDY, INSTANCE)


def test_the_table_is_whole() -> None:
    assert len(ROWS) == len({row.tag for row in ROWS}) == 266
    assert set(source_profile()) == {row.tag for row in ROWS}
    settled = files("shared.profile").joinpath("settled.csv").read_text().splitlines()
    named = {f"{row['group']},{row['element'].lower()}" for row in csv.DictReader(settled)}
    assert named == set(SETTLED)
    around = {tag for path in DEPTHS.values() for tag in path.replace("[0]", "").split(".") if tag}
    assert around and not around & {f"{row.tag:08X}" for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_at_each_depth_in_each_state(tmp_path: Path, row: Row) -> None:
    for state in STATES:
        values = values_in(row, state)
        for explain in (False, True):
            copy = copy_of(original(row, state), tmp_path, explain=explain)
            about = f"{row}, {state}, {'careful' if explain else 'fast'} reader"
            if unknown(row, state):
                assert copy is None, f"{about}: nobody knows which object it is"
                continue
            assert copy is not None, f"{about}: held"
            for depth in DEPTHS:
                for path, value in expected(row, values, depth).items():
                    found = copy.values.get(path)
                    assert found == value, f"{about}, {depth}: {found!r} at {path}, not {value!r}"
            assert NAME.encode().lower() not in copy.raw.lower(), f"{about}: a name is left"
            if values and row.action not in KEPT and row.vr not in ("SQ", "US"):
                for one in values:
                    assert len(one) < 8 or one.encode() not in copy.raw, f"{about}: still there"


def test_the_fast_reader_takes_what_is_plain_itself(tmp_path: Path) -> None:
    source, left = tmp_path / "in.dcm", set()
    for row in ROWS:
        for state in STATES:
            if unknown(row, state):
                continue
            source.write_bytes(original(row, state))
            try:
                fast.deidentify(source, BytesIO(), PLAN, None, Report())
            except Unsure:
                left.add((str(row), state))
    # Another creator where ours goes: its block is another's too.
    assert left == {("0013,0010 BlockOwner", state) for state in STATES if state != "absent"}


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_must_be_there_is_made_and_no_date(tmp_path: Path, syntax: UID, explain: bool) -> None:
    bare = Dataset()
    bare.SOPClassUID, bare.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.99999.3"
    bare.StudyInstanceUID, bare.SeriesInstanceUID = "1.2.840.99999.1", "1.2.840.99999.2"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    copy = copy_of(part10_of(bare), tmp_path, explain=explain)
    assert copy is not None
    made = {path: value.decode("latin-1") for path, value in copy.values.items() if path >= "0003"}
    codes = [made[f"00120064[{number}].00080100"] for number in range(4)]
    assert codes == ["113100", "113107", "113108", "113109"]
    study = made["00200010"]
    assert len(study) == 16
    kept = ("00080016", "00080018", "0020000D", "0020000E")
    assert {path: made[path] for path in made if path not in kept and "0064" not in path} == {
        "00080050": study, "00080070": "", "00080080": "BICAM", "00081010": "BICAM",
        "00100010": "BICAM_001", "00100020": "BICAM_001", "00120010": "BICAM",
        "00120020": "BICAM", "00120021": "BICAM", "00120030": "Bergen", "00120031": "Bergen",
        "00120040": "BICAM_001", "00120050": "v1", "00120051": "v1", "00120062": "YES",
        "00120063": "Per DICOM PS 3.15 AnnexE. Details in 0012,0064", "00130010": "CTP",
        "00131010": "BICAM", "00131011": "BICAM", "00131012": "Bergen", "00131013": "Bergen",
        "00200010": study, "00280303": "MODIFIED",
    }  # fmt: skip
