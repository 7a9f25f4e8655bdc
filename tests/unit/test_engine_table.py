"""Every row of the 2019 table, at every depth, generated from the data file itself."""

import csv
import hashlib
import hmac
from base64 import b32encode
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from services.anonymizer.engine import Plan, deidentify
from shared.profile import source_profile

ROWS = list(
    csv.DictReader(files("shared.profile").joinpath("source-2019.csv").read_text().splitlines())
)
SETTLED = {  # DESIGN section 7; the reasons stand in settled.csv
    "0008,0050": "study", "0020,0010": "study", "0008,0080": "project", "0008,1010": "project",
    "0008,1140": "process",
}  # fmt: skip
PLAN = Plan(
    project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="v1", site="Bergen",
    date_shift_days=3,
)  # fmt: skip
STUDY = "1.2.840.99999.1"
DEPTHS = ("top", "nested", "three deep", "private sequence")

SAMPLES = {
    "AE": "AET", "AS": "045Y", "CS": "CODE", "DA": "20200228", "DT": "20200228101112.5",
    "IS": "7", "DS": "7.5", "LO": "Long text", "LT": "Letter", "PN": "Some^One", "SH": "Short",
    "ST": "Text", "TM": "101112", "UI": "1.2.840.99999.7", "UT": "Unlimited", "OB": b"\1\2\3\4",
    "US": 7,
}  # fmt: skip


def vr_of(tag: int) -> str:
    return "LO" if tag >> 16 & 1 else dictionary_VR(tag).split(" ")[0]


def sample(tag: int) -> DataElement:
    vr = vr_of(tag)
    if vr == "SQ":
        item = Dataset()
        item.CodeValue, item.PatientName = "121311", "Some^One"
        return DataElement(tag, vr, Sequence([item]))
    return DataElement(tag, vr, SAMPLES[vr])


def wrap(element: DataElement, depth: str) -> Dataset:
    inner = Dataset()
    inner[element.tag] = element
    if element.tag.group == 0x0013 and element.tag.element >= 0x1000:
        inner[0x00130010] = DataElement(0x00130010, "LO", "CTP")
    if depth == "top":
        return inner
    tags = {
        "nested": [0x00081140],
        "three deep": [0x00081140, 0x0040A170, 0x00081199],
        "private sequence": [0x00211042],
    }[depth]
    for tag in reversed(tags):
        outer = Dataset()
        if tag == 0x00211042:
            outer[0x00210010] = DataElement(0x00210010, "LO", "SIEMENS MR SDR 01")
        outer[tag] = DataElement(tag, "SQ", Sequence([inner]))
        inner = outer
    return inner


def unwrap(data_set: Dataset, depth: str) -> Dataset:
    tags = {
        "top": [],
        "nested": [0x00081140],
        "three deep": [0x00081140, 0x0040A170, 0x00081199],
        "private sequence": [0x00211042],
    }[depth]
    for tag in tags:
        data_set = data_set[tag].value[0]
    return data_set


def run(tmp_path: Path, extra: Dataset, *, implicit: bool = False) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data_set.SOPInstanceUID, data_set.StudyInstanceUID = "1.2.840.99999.3", STUDY
    data_set.SeriesInstanceUID = "1.2.840.99999.2"
    data_set.update(extra)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    source = tmp_path / "in.dcm"
    data_set.save_as(source, enforce_file_format=True)
    target = BytesIO()
    deidentify(source, target, PLAN)
    target.seek(0)
    return pydicom.dcmread(target)


def mac(purpose: str, value: str) -> bytes:
    return hmac.digest(PLAN.key, f"{purpose}\0{value}".encode(), hashlib.sha256)


def released(uid: str) -> str:
    return f"2.25.{int.from_bytes(mac('uid', uid)[:16])}"


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 266
    assert len({(row["group"], row["element"]) for row in ROWS}) == 266
    assert set(source_profile()) == {int(row["group"] + row["element"], 16) for row in ROWS}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['group']},{row['element']} {row['name']}"
)
def test_each_row_at_each_depth(tmp_path: Path, row: dict[str, str], depth: str) -> None:
    tag = int(row["group"] + row["element"], 16)
    before = sample(tag)
    top = depth == "top"
    study = before.value if top and tag == 0x0020000D else STUDY
    after = unwrap(run(tmp_path, wrap(sample(tag), depth)), depth).get(tag)
    action = SETTLED.get(f"{row['group']},{row['element']}", row["action"])
    written_anew = top and tag in (0x00120064, 0x00280303)

    if action == "remove":
        assert after is None
        return
    assert after is not None
    value = after.value
    if written_anew:
        assert value == "MODIFIED" if tag == 0x00280303 else len(value) == 4
    elif action in ("keep", "process", "BODYPART") or "/" in action:
        if before.VR == "SQ":
            assert value[0].PatientName == PLAN.participant  # the table reaches inside
            assert value[0].CodeValue == "121311"
        else:
            assert value == before.value
    elif action == "empty":
        assert not value
    elif action.startswith("hashuid"):
        assert value == released(before.value)
    elif action == "study":
        assert value == b32encode(mac("study", study)).decode()[:16]
    elif action == "incrementdate":
        assert value == before.value.replace("20200228", "20200302")
    elif action == "Re-Mapped":
        assert value == PLAN.participant
    elif action in ("project", "PROJECTNAME", "always"):
        assert value == PLAN.project
    elif action in ("SITEID", "SITENAME"):
        assert value == PLAN.site
    else:
        assert value == action  # a literal


def test_an_empty_table_element_does_no_harm(tmp_path: Path) -> None:
    for row in ROWS:
        tag = int(row["group"] + row["element"], 16)
        empty = DataElement(tag, vr_of(tag), Sequence() if vr_of(tag) == "SQ" else None)
        after = unwrap(run(tmp_path, wrap(empty, "nested")), "nested").get(tag)
        action = SETTLED.get(f"{row['group']},{row['element']}", row["action"])
        assert (after is None) == (action == "remove"), row
        if after is not None and action in ("keep", "empty", "incrementdate", "process"):
            assert not after.value, row


def test_what_must_be_there_is_made_when_missing(tmp_path: Path) -> None:
    for implicit in (False, True):
        copy = run(tmp_path, Dataset(), implicit=implicit)
        assert copy.PatientName == copy.PatientID == "BICAM_001"
        assert copy.InstitutionName == copy.StationName == "BICAM"
        assert copy.StudyID == copy.AccessionNumber and len(copy.StudyID) == 16
        assert copy.PatientIdentityRemoved == "YES"
        assert copy.ClinicalTrialSubjectID == "BICAM_001"
        assert copy.ClinicalTrialTimePointID == "v1"
        assert copy[0x00130010].value == "CTP"
        block = [copy[0x00131010 + n].value for n in range(4)]
        if implicit:  # private elements have no VR there
            block = [value.decode().strip() for value in block]
        assert block == ["BICAM", "BICAM", "Bergen", "Bergen"]
        assert "StudyDate" not in copy and "PatientBirthDate" not in copy
