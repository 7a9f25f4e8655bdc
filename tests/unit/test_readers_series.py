"""The fast reader over the images of a series: what it has met before changes no result."""

import copy
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import DataElement, Dataset, Sequence
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from demo.phantoms import Maker
from services.anonymizer.engine import Report, fast
from services.anonymizer.engine.found import Found
from services.anonymizer.engine.heads import Unsure
from services.anonymizer.engine.scanner import Scanner
from services.anonymizer.engine.sequences import LONGEST, Sequences
from services.anonymizer.engine.templates import Templates
from tests.unit.test_readers import PLAN, assert_equal, by_both

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
OWN_UID = "1.2.840.99999.3.77.1.2"

# Sequences that are met again and again, in the same image and in the next

_CONTENTS = {
    "ReferencedSOPInstanceUID": st.sampled_from([OWN_UID, "1.2.840.99999.3.77.1.3"]),
    "SOPInstanceUID": st.sampled_from([OWN_UID, "1.2.3"]),
    "PatientName": st.sampled_from(["Nordmann^Kari", "Vik^Olav", ""]),
    "AcquisitionDateTime": st.sampled_from(["20200214101112.5", "20200215101112", "junk", ""]),
    "CodeMeaning": st.sampled_from(["Vik saw Kari", "head", "20200215"]),
    "SpecificCharacterSet": st.sampled_from(["ISO_IR 100", "ISO_IR 192"]),
    "InstanceNumber": st.sampled_from(["1", "20"]),
}  # fmt: skip
# Looked at item by item, removed, and private.
_SEQUENCES = (0x00081140, 0x00082112, 0x00081111, 0x00091010)


@st.composite
def _sequences(draw: st.DrawFn, depth: int = 0) -> Sequence:
    items = []
    for _ in range(draw(st.integers(0, 2))):
        item = Dataset()
        for name in draw(st.lists(st.sampled_from(list(_CONTENTS)), unique=True, max_size=2)):
            setattr(item, name, draw(_CONTENTS[name]))
        if depth < 2 and draw(st.booleans()):
            item.PurposeOfReferenceCodeSequence = draw(_sequences(depth + 1))
        item.is_undefined_length_sequence_item = draw(st.booleans())
        items.append(item)
    return Sequence(items)


_MAYBE: dict[str | int, st.SearchStrategy[Any]] = {
    "SpecificCharacterSet": st.sampled_from(["ISO_IR 100", "ISO_IR 192"]),
    "InstanceNumber": st.sampled_from(["1", "10"]),
}
for _tag in _SEQUENCES:
    _MAYBE[_tag] = st.tuples(_sequences(), st.sampled_from([False, False, False, True]))
_IMAGES = st.fixed_dictionaries(
    {"SOPInstanceUID": st.sampled_from(["1.2.3", OWN_UID, "1.2.840.99999.3.77.9"])},
    optional=_MAYBE,
)


def _image(changes: dict[Any, Any], syntax: UID) -> Dataset:
    image = copy.deepcopy(Maker(1, size=8).ct(1).instances[0])
    image.file_meta.TransferSyntaxUID = syntax
    image.add_new(0x00090010, "LO", "ACME")
    for name, value in changes.items():
        if isinstance(name, int):
            items, undefined = value
            element = DataElement(name, "SQ", copy.deepcopy(items))
            element.is_undefined_length = undefined
            image[name] = element
        else:
            setattr(image, name, value)
    return image


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(few=st.lists(_IMAGES, min_size=2, max_size=3), order=st.lists(st.integers(0, 2), max_size=6))
def test_sequences_that_were_met_before_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    syntax: UID,
    few: list[dict[Any, Any]],
    order: list[int],
) -> None:
    path = tmp_path_factory.mktemp("series") / "in.dcm"
    for changes in [*few, *(few[number % len(few)] for number in order)]:
        _image(changes, syntax).save_as(path, enforce_file_format=True)
        with suppress(Unsure):
            assert_equal(*by_both(path))


def test_a_sequence_that_every_object_gets_anew_may_have_been_met(tmp_path: Path) -> None:
    method = _item(CodeValue="1", CodeMeaning="Kari", StudyDate="20200214")
    path = tmp_path / "in.dcm"
    for number in range(4):
        image = _image({"InstanceNumber": str(number)}, SYNTAXES[0])
        image.ReferencedImageSequence = Sequence([_item(InstanceNumber=str(number))])
        image.DeidentificationMethodCodeSequence = Sequence([method])
        image.save_as(path, enforce_file_format=True)
        assert_equal(*by_both(path))


def test_a_malformed_date_in_a_sequence_is_reported_of_every_image(tmp_path: Path) -> None:
    path = tmp_path / "in.dcm"
    for number in range(4):
        image = _image({"InstanceNumber": str(number)}, SYNTAXES[0])
        image.ReferencedImageSequence = Sequence([_item(AcquisitionDateTime="junk")])
        image.save_as(path, enforce_file_format=True)
        assert_equal(*by_both(path))
        report = Report()
        fast.deidentify(path, BytesIO(), PLAN, None, report)
        assert report.warnings == ["malformed date emptied: (0008,002a)"]


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with every header that is scanned; nothing was met before."""
    done: list[int] = []
    monkeypatch.setattr(fast, "_TEMPLATES", Templates())
    monkeypatch.setattr(fast, "_SEQUENCES", Sequences())
    scan = Scanner.scan

    def counted(scanner: Scanner, position: int) -> Found:
        done.append(position)
        return scan(scanner, position)

    monkeypatch.setattr(Scanner, "scan", counted)
    return done


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
def test_a_series_whose_references_vary_is_read_by_its_template(
    tmp_path: Path, scans: list[int], syntax: UID
) -> None:
    path = tmp_path / "in.dcm"
    for number in range(8):
        reference = Dataset()
        reference.ReferencedSOPInstanceUID = f"1.2.840.99999.3.78.{number + 1}"
        image = _image({"SOPInstanceUID": f"1.2.840.99999.3.77.{number + 1}"}, syntax)
        image.ReferencedImageSequence = Sequence([reference])
        image.save_as(path, enforce_file_format=True)
        assert_equal(*by_both(path))
    assert len(scans) == 2


def test_a_template_takes_no_image_whose_sequence_tells_something_else(
    tmp_path: Path, scans: list[int]
) -> None:
    path = tmp_path / "in.dcm"
    for number, name in enumerate(["Vik^Olav"] * 4 + ["Berg^Kari"]):
        patient = Dataset()
        patient.PatientName, patient.InstanceNumber = name, str(number)
        image = _image({"SOPInstanceUID": f"1.2.840.99999.3.77.{number + 1}"}, SYNTAXES[0])
        image.ReferencedImageSequence = Sequence([patient])
        image.SeriesDescription = "Olav and Kari"
        image.save_as(path, enforce_file_format=True)
        assert_equal(*by_both(path))
    assert len(scans) == 3


def test_less_is_read_of_the_files_that_follow_one_with_a_large_header(
    tmp_path: Path, scans: list[int]
) -> None:
    path = tmp_path / "in.dcm"
    read = []
    for number in range(60):
        image = _image({"SOPInstanceUID": f"1.2.840.99999.3.77.{number + 1}"}, SYNTAXES[0])
        if not number:
            image.add_new(0x00091001, "OB", bytes(200_000))
        image.save_as(path, enforce_file_format=True)
        by_both(path)
        read.append(fast._TEMPLATES.first_read)
    assert read[0] > 200_000 and read[-1] < 20_000
    assert read == sorted(read, reverse=True)


# What is learnt of sequences


def _scanned(sequences: Sequences, *items: Dataset, undefined: bool = False) -> tuple[bool, bool]:
    """Whether a sequence with these items is listed as a whole: at first, and when met again."""
    data_set = Dataset()
    data_set.ReferencedImageSequence = Sequence(items)
    data_set["ReferencedImageSequence"].is_undefined_length = undefined
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    whole = []
    for _ in range(2):
        data = buffer.getvalue()
        scanner = Scanner(data, implicit=False, complete=True, sequences=sequences)
        found = scanner.scan(0)
        assert [raw for head, raw in found.identifying if head.vr == "DA"] == [
            item.StudyDate.encode() for item in items if "StudyDate" in item
        ]
        whole.append(found.records[0][4] == len(data))
    return whole[0], whole[1]


def _item(**values: object) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def test_a_sequence_that_was_met_is_listed_as_a_whole_and_tells_the_same() -> None:
    dated = [_item(StudyDate="20200214"), _item(StudyDate="20200215")]
    assert _scanned(Sequences(), *dated) == (False, True)
    assert _scanned(Sequences()) == (False, True)


def test_what_depends_on_more_than_its_bytes_is_not_learnt() -> None:
    sequences = Sequences()
    assert not any(_scanned(sequences, _item(StudyDate="20200214"), undefined=True))
    assert not any(_scanned(sequences, _item(SpecificCharacterSet="")))
    assert not any(_scanned(sequences, _item(ImageComments="x" * LONGEST)))
    nested = _item(PurposeOfReferenceCodeSequence=Sequence([_item(CodeValue="1")]))
    assert not any(_scanned(sequences, nested))


def test_what_is_learnt_is_bounded() -> None:
    sequences, most = Sequences(), 0
    for number in range(6000):
        sequences.learn(number.to_bytes(2, "little") * 1000, [], implicit=False)
        most = max(most, len(sequences.known(implicit=False)))
    assert 1000 < most < 3000
