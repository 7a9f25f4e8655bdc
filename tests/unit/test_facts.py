"""The facts of a series: the earlier system's names and shapes, and nothing from bad input."""

import itertools
import json
import math
import struct
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, Sequence
from pydicom.dataelem import RawDataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from demo.phantoms import Maker
from demo.siemens import csa1_header, csa_header
from services.classifier import arrivals
from services.classifier.arrivals import examine
from services.classifier.facts import PRIVATE, STANDARD, series_facts
from shared.errors import Reject, Retry
from shared.header import read_header
from shared.spool import Spool
from tests.corpus import all_files, read
from tests.helpers import part10

STORED = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
SYNTAXES = pytest.mark.parametrize("syntax", [*STORED, Deflated], ids=lambda syntax: syntax.keyword)

DEEP = b""
for _ in range(2000):  # items of sequences of items
    DEEP = struct.pack("<2HL2H2s2xL", 0xFFFE, 0xE000, len(DEEP) + 12, 8, 9, b"SQ", len(DEEP)) + DEEP
CSA = "SIEMENS CSA HEADER"
IMAGE = {
    "NumberOfImagesInMosaic": ("US", ["44"]), "B_value": ("IS", ["1000"]),
    "DiffusionDirectionality": ("CS", ["DIRECTIONAL"]),
    "DiffusionGradientDirection": ("FD", ["0.7", "-0.7", "0.1"]),
    "B_matrix": ("FD", ["490", "-490", "70", "490", "-70", "10"]),
    "MosaicRefAcqTimes": ("FD", ["0.0", "1052.5", "527.5", "1580.0"]),
    "PhaseEncodingDirectionPositive": ("IS", ["0"]),
}  # fmt: skip
PROTOCOL = (
    "<XProtocol>\n### ASCCONV BEGIN ###\nulVersion\t = \t0x14b44b6\nlSequenceID\t = \t17\n"
    'sGroupArray.asGroup[0].nSize\t = \t40\nsWipMemBlock.tFree\t = \t""0a1b-2c3d""\n'
)


def image(**elements: object) -> Dataset:
    """An image of 16 pixels."""
    return with_values(Maker(1, size=4).ct(1).instances[0], elements)


def with_values(data_set: Dataset, values: dict[str, object]) -> Dataset:
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def nest(outer: Dataset, sequence: str, **elements: object) -> Dataset:
    item = with_values(Dataset(), elements)
    setattr(outer, sequence, Sequence([item]))
    return item


def add(data_set: Dataset, group: int, block: int, creator: str, *elements: Any) -> None:
    """Reserve a block and fill it: `(0x5A, "FL", 1.5)`."""
    data_set.add_new((group, block), "LO", creator)
    for element, vr, value in elements:
        data_set.add_new((group, block << 8 | element), vr, value)


def add_csa(data_set: Dataset, own: bytes, series: bytes, creator=CSA, block=0x10) -> None:
    add(data_set, 0x0029, block, creator, (0x10, "OB", own), (0x20, "OB", series))


def written(folder: Path, data_set: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    path = folder / "image.dcm"
    data_set.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    path.write_bytes(part10(data_set))
    return path


def facts_of(folder: Path, data_set: Dataset, syntax: str = ExplicitVRLittleEndian) -> Any:
    path = written(folder, data_set, syntax)
    return series_facts(read_header(path), path)


@SYNTAXES
def test_a_series_has_the_facts_of_the_earlier_system(tmp_path: Path, syntax: str) -> None:
    data_set = image(
        PatientName="Øye^Åse", SoftwareVersions="syngo MR E11", SpacingBetweenSlices="2.4",
        AcquisitionMatrix=[90, 0, 0, 90], ImagesInAcquisition="44", NumberOfTemporalPositions="3",
        EchoTime="30", RepetitionTime="800", InversionTime="900", FlipAngle="52", EchoTrainLength=9,
        ContrastBolusAgent="Dotarem", AcquisitionTime="081530.25", DiffusionBValue=1000.0,
    )  # fmt: skip
    facts = facts_of(tmp_path, data_set, syntax)
    as_they_are = """StudyInstanceUID StudyID StudyDate StudyTime AccessionNumber PatientID
        PatientSex SeriesInstanceUID SeriesTime SeriesDescription OperatorsName InstitutionName
        StationName AcquisitionDate"""
    assert facts == {name: str(data_set[name].value) for name in as_they_are.split()} | {
        "StudyDescription": "CT thorax med kontrast", "PatientName": "Øye^Åse", "SeriesNumber": "2",
        "BodyPartExamined": "CHEST", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "InstanceNumber": "1", "Modality": "CT", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "Manufacturer": "Phantom Medical Systems", "ManufacturerModelName": "Tomograph 9",
        "SoftwareVersion": "syngo MR E11", "Rows": "4", "Columns": "4",
        "PixelSpacing": "0.7\\0.7", "SliceThickness": "1", "SpacingBetweenSlices": "2.4",
        "SliceSpacing": "2.4", "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "ImagePositionPatient": "-180\\-180\\-1.0", "AcquisitionMatrix": "90\\0\\0\\90",
        "EchoTime": "30", "RepetitionTime": "800", "InversionTime": "900", "FlipAngle": "52",
        "AcquisitionTime": "081530.25", "ContrastBolusAgent": "Dotarem",
        "DiffusionBValue": "1000.0", "ImagesInAcquisition": "44", "NumberOfTemporalPositions": "3",
    }  # fmt: skip


@SYNTAXES
@pytest.mark.parametrize("block", [0x10, 0x11, 0xE1], ids=hex)
def test_private_facts_are_found_by_their_creators(tmp_path: Path, syntax: str, block: int) -> None:
    data_set = image()
    add(data_set, 0x0019, block, "GEMS_ACQU_01",
        (0x5A, "FL", 1.5), (0x9C, "LO", "efgre3d"), (0xBB, "DS", "1.25"))  # fmt: skip
    add(data_set, 0x0021, block, "GEMS_RELA_01", (0x4F, "SS", -3))
    add(data_set, 0x0043, block, "GEMS_PARM_01", (0x39, "IS", [400, 0, 0, 8]))
    add(data_set, 0x0051, block, "SIEMENS MR HEADER",
        (0x0A, "LO", "TA 06:00"), (0x0F, "LO", "HEA;HEP"))  # fmt: skip
    add(data_set, 0x2001, block, "Philips Imaging DD 001", (0x20, "LO", "T1FFE"))
    facts = facts_of(tmp_path, data_set, syntax)
    assert {name: facts[name] for name in PRIVATE} == {
        "AcquisitionLength": "TA 06:00", "ActiveCoils": "HEA;HEP", "PulseSequenceName": "efgre3d",
        "Private0019_105a": "1.5", "Private0019_10BB": "1.25", "Private0043_1039": [400, 0, 0, 8],
        "SequenceType": "T1FFE", "Slices": "-3",
    }  # fmt: skip
    assert "DiffusionBValue" not in facts


def test_the_same_elements_of_other_creators_are_no_facts(tmp_path: Path) -> None:
    data_set = image()
    add(data_set, 0x0019, 0x10, "SIEMENS RA GEN", (0x5A, "US", 7), (0x0C, "IS", "1000"))
    add(data_set, 0x0043, 0x11, "GEMS_PARM_01", (0x28, "OB", b"ab"))
    data_set.add_new(0x00431039, "IS", "1000")  # a block that nobody has reserved
    assert not set(facts_of(tmp_path, data_set)) - set(STANDARD)


@SYNTAXES
@pytest.mark.parametrize(
    ("group", "creator", "element", "b_value"),
    [
        (0x0019, "SIEMENS MR HEADER", (0x0C, "IS", "700"), "700"),
        (0x2001, "Philips Imaging DD 001", (0x03, "FL", 800.0), "800.0"),
        (0x0065, "Image Private Header", (0x09, "FD", 900.0), "900.0"),
        (0x0043, "GEMS_PARM_01", (0x39, "IS", [1_000_001_000, 8, 0, 0]), "1000"),
    ],
    ids=["siemens", "philips", "united-imaging", "ge"],
)
def test_b_values_of_vendors(
    tmp_path: Path, syntax: str, group: int, creator: str, element: Any, b_value: str
) -> None:
    data_set = image(ScanningSequence=["EP", "SE"])
    add(data_set, group, 0x11, creator, element)
    assert facts_of(tmp_path, data_set, syntax)["DiffusionBValue"] == b_value
    data_set.DiffusionBValue = 50.0
    assert facts_of(tmp_path, data_set, syntax)["DiffusionBValue"] == "50.0"


@SYNTAXES
@pytest.mark.parametrize("header", [csa_header, csa1_header])
def test_csa_facts(tmp_path: Path, syntax: str, header: Any) -> None:
    data_set = image(InstanceNumber="445")
    # Too long for the header reader to carry along.
    padding = 0 if syntax == Deflated else 90_000
    series = header({"MrPhoenixProtocol": ("UN", [PROTOCOL + "x" * padding])})
    add_csa(data_set, header(IMAGE), series, block=0x12)
    facts = facts_of(tmp_path, data_set, syntax)
    assert {name: facts[name] for name in facts if name not in STANDARD} == {
        "NumSlices": "44", "MeasID": "17", "siemensUUID": "0a1b-2c3d", "SliceTimingCount": "4",
        "PhaseEncodingDirectionPositive": "0",
        "siemensDiffusionInformation": [{
            "B_value": "1000", "DiffusionDirectionality": "DIRECTIONAL",
            "DiffusionGradientDirection": ["0.7", "-0.7", "0.1"],
            "B_matrix": ["490", "-490", "70", "490", "-70", "10"],
            "SOPInstanceUID": data_set.SOPInstanceUID, "InstanceNumber": "445",
        }],
    }  # fmt: skip
    assert facts["DiffusionBValue"] == "1000"


def test_csa_facts_without_mosaic_and_diffusion(tmp_path: Path) -> None:
    data_set = image()
    own = csa_header({"PhaseEncodingDirectionPositive": ("IS", ["1" * 999])})
    series = csa_header({"MrProtocol": ("UN", [PROTOCOL])})
    add_csa(data_set, own, series, "SIEMENS CSA NON-IMAGE")
    facts = facts_of(tmp_path, data_set)
    assert facts["NumSlices"] == "40" and facts["MeasID"] == "17"
    assert facts["siemensDiffusionInformation"] == []
    assert facts["PhaseEncodingDirectionPositive"] == "1" * 256
    assert "SliceTimingCount" not in facts and "DiffusionBValue" not in facts


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"SV10", b"SV10\4\3\2\1" + bytes(64), csa_header(IMAGE)[:300],
        csa_header(IMAGE).replace(b"B_matrix", b"\xff_matrix"), b"<XProtocol>" * 9000,
        csa_header({"MrPhoenixProtocol": ("UN", [PROTOCOL + "x" * (2 << 20)])}),
    ],
    ids=["empty", "magic", "zeros", "cut", "name", "text", "huge"],
)  # fmt: skip
def test_broken_csa_headers_make_no_facts(tmp_path: Path, broken: bytes) -> None:
    data_set = image()
    even = broken + bytes(len(broken) % 2)
    add_csa(data_set, even, even)
    assert not set(facts_of(tmp_path, data_set)) - set(STANDARD)


@pytest.mark.parametrize("syntax", STORED, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("length", [0, 90_000, 2 << 20], ids=["short", "long", "cut"])
def test_facts_of_enhanced_objects_come_from_their_functional_groups(
    tmp_path: Path, syntax: str, length: int
) -> None:
    data_set = image(NumberOfFrames="2")
    del data_set.PixelSpacing, data_set.ImagePositionPatient, data_set.ImageOrientationPatient
    shared = nest(data_set, "SharedFunctionalGroupsSequence")
    nest(shared, "PixelMeasuresSequence", PixelSpacing=["0.5", "0.5"], SliceThickness="3")
    nest(shared, "MRTimingAndRelatedParametersSequence", RepetitionTime="2000")
    frame = nest(data_set, "PerFrameFunctionalGroupsSequence")
    nest(frame, "PlanePositionSequence", ImagePositionPatient=["1", "2", "3"])
    nest(frame, "MREchoSequence", EffectiveEchoTime=74.5)
    nest(frame, "MRDiffusionSequence", DiffusionBValue=700.0)
    nest(frame, "MRVelocityEncodingSequence", DiffusionBValue=6.0)
    other = nest(data_set, "PerFrameFunctionalGroupsSequence")
    nest(other, "MRModifierSequence", FlipAngle="52")
    frame.add_new(0x00E11001, "OB", bytes(length))
    data_set.PerFrameFunctionalGroupsSequence = Sequence([frame, other])
    for undefined in (False, True):
        data_set[0x52009229].is_undefined_length = undefined
        data_set[0x52009230].is_undefined_length = undefined
        frame.is_undefined_length_sequence_item = undefined
        facts = facts_of(tmp_path, data_set, syntax)
        assert (facts["EchoTime"], facts["RepetitionTime"]) == ("74.5", "2000")
        assert facts["PixelSpacing"] == "0.5\\0.5" and facts["SliceThickness"] == "1"
        assert facts["ImagePositionPatient"] == "1\\2\\3"
        assert facts["DiffusionBValue"] == "700.0" and "FlipAngle" not in facts


@pytest.mark.parametrize("syntax", STORED, ids=lambda syntax: syntax.keyword)
def test_functional_groups_may_end_anywhere(tmp_path: Path, monkeypatch, syntax: str) -> None:
    data_set = image()
    frame = nest(data_set, "PerFrameFunctionalGroupsSequence")
    echo = nest(frame, "MREchoSequence", EffectiveEchoTime=74.5)
    echo.add_new(0x00E11001, "OB", bytes(70_000))
    frame["MREchoSequence"].is_undefined_length = True
    path = written(tmp_path, data_set, syntax)
    header, found = read_header(path), []
    for end in range(90):
        monkeypatch.setattr("services.classifier.facts._MOST_BYTES", end)
        found.append(series_facts(header, path).get("EchoTime"))
    assert set(found) == {None, "74.5"} and found[-1] == "74.5"


@pytest.mark.parametrize(
    ("name", "vr", "raw", "fact"),
    [
        ("EchoTime", "OB", b"4.92", "4.92"), ("EchoTime", "UN", b"4.92", "4.92"),
        ("EchoTime", "FL", struct.pack("<f", 0.5), "0.5"),
        ("EchoTime", "FD", struct.pack("<d", math.nan), None),
        ("EchoTime", "DS", b"4,92 ms ", None), ("EchoTime", "DS", b"1e999 ", None),
        ("EchoTime", "OB", struct.pack("<d", 4.92), None), ("EchoTime", "DS", b"1" * 60_000, None),
        ("Rows", "UN", struct.pack("<H", 512), "512"),
        ("Rows", "UN", struct.pack("<H", 0x31), "49"), ("Rows", "OB", b"512\0", "512"),
        ("Rows", "SH", b"512 ", "512"), ("Rows", "UL", struct.pack("<L", 512), "512"),
        ("Rows", "SH", b"abcd", None), ("DiffusionBValue", "OB", b"abcd", None),
        ("AcquisitionMatrix", "US", b"\1\0" * 30_000, None),
        ("AcquisitionMatrix", "UN", b"\1\0" * 30_000, None),
        ("DiffusionBValue", "UN", struct.pack("<d", 1000), "1000.0"),
        ("InstanceNumber", "IS", b"99999999999 ", None),
        ("SeriesDescription", "OB", b"T1 \xe5\0", "T1 å"),
        ("SeriesDescription", "OB", b"T1\0\1\2\3", None),
        ("SeriesDescription", "LO", b"T1\0left over ", "T1"),
        ("SeriesDescription", "LO", b"T1\x07 sag ", "T1 sag"),
        ("SeriesDescription", "UT", b"x" * 60_000, "x" * 256),
        ("SeriesDescription", "OB", bytes(60_000), None),
        ("SeriesDescription", "SQ", b"\xfe\xff\0\xe0" + bytes(4), None),
        ("PerFrameFunctionalGroupsSequence", "OB", DEEP, None),
    ], ids=itertools.count(),
)  # fmt: skip
def test_values_that_are_not_what_they_ought_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, vr: str, raw: bytes,
    fact: str | None,
) -> None:  # fmt: skip
    data_set = image()
    tag = pydicom.tag.Tag(name)
    data_set[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    monkeypatch.setattr("pydicom.config.replace_un_with_known_vr", False)
    path = written(tmp_path, data_set)
    header = read_header(path)
    assert header._elements[tag][0] == vr.encode()
    assert series_facts(header, path).get(name) == fact


@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize(("syntax", "order"), [(STORED[1], "<"), (STORED[2], ">")], ids="<>")
def test_numbers_without_their_vr(tmp_path: Path, vr: str, syntax: str, order: str) -> None:
    data_set = image(ScanningSequence="EP")
    add(data_set, 0x0019, 0x10, "GEMS_ACQU_01", (0x5A, vr, struct.pack(f"{order}f", 1.5)),
        (0xBB, vr, b"1.25"))  # fmt: skip
    add(data_set, 0x0021, 0x10, "GEMS_RELA_01", (0x4F, vr, struct.pack(f"{order}h", 44)))
    add(data_set, 0x0043, 0x10, "GEMS_PARM_01", (0x39, vr, b"800\\8\\0\\0 "))
    facts = facts_of(tmp_path, data_set, syntax)
    assert (facts["Private0019_105a"], facts["Private0019_10BB"]) == ("1.5", "1.25")
    assert (facts["Slices"], facts["Private0043_1039"]) == ("44", [800, 8, 0, 0])
    assert facts["DiffusionBValue"] == "800"


def checked(path: Path) -> Any:
    """The facts, unless the file is refused."""
    try:
        header = read_header(path)
    except Reject:
        return {}
    facts = series_facts(header, path)
    texts = [json.dumps(fact, ensure_ascii=False) for fact in facts.values()]
    assert [json.loads(text.encode()) for text in texts] == list(facts.values())
    assert all(len(text) < 1000 and "u0000" not in text for text in texts)
    return facts


def test_facts_of_the_corpus_are_what_pydicom_reads() -> None:
    compared = 0
    for path in all_files():
        facts = checked(path)
        for keyword in {"Modality", "SOPClassUID", "Rows", "Columns", "SeriesNumber"} & set(facts):
            assert facts[keyword] == str(read(path)[keyword].value)
            compared += 1
    assert compared > 500


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_make_short_facts_or_none(tmp_path: Path, data: st.DataObject) -> None:
    data_set = image(ScanningSequence="EP")
    add_csa(data_set, csa_header(IMAGE), csa_header({"MrPhoenixProtocol": ("UN", [PROTOCOL])}))
    add(data_set, 0x0043, 0x10, "GEMS_PARM_01", (0x39, "IS", [400, 0, 0, 8]))
    frame = nest(data_set, "PerFrameFunctionalGroupsSequence")
    nest(frame, "MREchoSequence", EffectiveEchoTime=74.5)
    data_set[0x52009230].is_undefined_length = data.draw(st.booleans())
    syntax = data.draw(st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian]))
    path = written(tmp_path, data_set, syntax)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(400, len(raw) - 40))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        raw[place : place + len(patch)] = patch
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked(path)


def test_long_values_are_looked_for_where_they_can_be(tmp_path: Path) -> None:
    data_set = image()
    add_csa(data_set, b"", bytes(70_000))
    path = written(tmp_path, data_set, Deflated)
    deflated = read_header(path)
    path = written(tmp_path, data_set)
    header = read_header(path)
    path.unlink()
    assert series_facts(deflated, path)
    with pytest.raises(Retry, match="spool-file-missing"):
        series_facts(header, path)


def test_facts_are_taken_when_asked_for_and_once(tmp_path: Path, monkeypatch) -> None:
    spool = Spool(tmp_path)
    spool.prepare()
    key, taken = spool.inbox_key("0" * 32, 1), []
    with spool.writing(key) as file:
        file.write(part10(Maker(1, size=16).mr(1).instances[0]))
    monkeypatch.setattr(
        arrivals, "series_facts", lambda *of: taken.append(of[1]) or series_facts(*of)
    )
    ((arrival,), _) = examine(spool, [key])
    assert not taken
    assert arrival.facts is arrival.facts and taken == [spool.path(key)]
    assert arrival.facts["ActiveCoils"] == "HEA;HEP" and arrival.facts["NumSlices"] == "32"


def test_the_series_json_is_read_as_the_earlier_systems_users_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.prepare()
    data_set = image(PatientName="Øye^Åse")
    add_csa(data_set, csa_header(IMAGE), b"")
    facts = facts_of(tmp_path, data_set)
    spool.write_series_facts("1.2", "1.3", facts)
    text = (tmp_path / "received" / "1.2" / "1.3.json").read_text("utf-8")
    assert json.loads(text) == facts and '"Øye^Åse"' in text
    (diffusion,) = json.loads(text)["siemensDiffusionInformation"]
    assert [float(one) for one in diffusion["DiffusionGradientDirection"]] == [0.7, -0.7, 0.1]
