"""The engine on whole objects: what it changes, what it leaves, what it refuses."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from demo.checking import leaks, secrets_of
from demo.phantoms import Maker
from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reason, Reject
from shared.identity import IMPLEMENTATION_CLASS_UID, keyed_uid
from tests.corpus import read, storage_objects

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", date_shift_days=3)


def deidentified(source: Path, plan: Plan = PLAN) -> Dataset:
    target = BytesIO()
    deidentify(source, target, plan)
    target.seek(0)
    return pydicom.dcmread(target)


def saved(data_set: Dataset, folder: Path) -> Path:
    path = folder / "in.dcm"
    data_set.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("path", storage_objects(), ids=lambda path: path.name)
def test_the_corpus_comes_out_legal_with_its_pixels(path: Path) -> None:
    before = read(path)
    try:
        after = deidentified(path)
    except Reject as error:
        assert error.reason is Reason.NOT_DEIDENTIFIABLE
        assert "Encapsulated" in before.SOPClassUID.name
        return
    assert after.PatientID == "BICAM_001"
    assert after.SOPInstanceUID == keyed_uid(PLAN.key, before.SOPInstanceUID)
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert after.get("PixelData") == before.get("PixelData")
    assert after.get("SpecificCharacterSet") == before.get("SpecificCharacterSet")


def test_the_same_bytes_and_plan_give_the_same_bytes(tmp_path: Path) -> None:
    path = saved(Maker(1).mr(1).instances[0], tmp_path)
    one, two = BytesIO(), BytesIO()
    deidentify(path, one, PLAN)
    deidentify(path, two, PLAN)
    assert one.getvalue() == two.getvalue()


@pytest.mark.parametrize("kind", ["ct", "mr", "us"])
@pytest.mark.parametrize(
    "syntax",
    [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_generated_people_leave_no_trace(tmp_path: Path, kind: str, syntax: str | None) -> None:
    study = getattr(Maker(7, size=64), kind)(2)
    for original in study.instances:
        if syntax == ExplicitVRBigEndian and kind == "mr":
            continue  # pixel words would have to be swapped to make such a file
        if syntax:
            original.file_meta.TransferSyntaxUID = syntax
        secrets = secrets_of(study, original, PLAN.participant)
        path = saved(original, tmp_path)
        assert len(leaks(read(path), secrets)) > 8  # the search would find them
        assert leaks(deidentified(path), secrets) == []


def test_references_link_across_a_study(tmp_path: Path) -> None:
    study = Maker(3, size=32).mr(2)
    for original in study.instances:
        copy = deidentified(saved(original, tmp_path))
        reference = copy.ReferencedImageSequence[0]
        wanted = original.ReferencedImageSequence[0].ReferencedSOPInstanceUID
        assert reference.ReferencedSOPInstanceUID == keyed_uid(PLAN.key, wanted)
        assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
        inner = copy[0x002110FE].value[0][0x00211042].value[0]
        assert inner.StudyInstanceUID == copy.StudyInstanceUID
        assert inner.PatientName == "BICAM_001"


def test_private_binary_values_keep_their_length_and_facts(tmp_path: Path) -> None:
    original = Maker(3, size=32).mr(1).instances[0]
    copy = deidentified(saved(original, tmp_path))
    for tag in (0x00291010, 0x00291020):
        assert len(copy[tag].value) == len(original[tag].value)
        assert copy[tag].value != original[tag].value
    for word in (b"B_value", b"1000", b"NumberOfImagesInMosaic"):
        assert word in copy[0x00291010].value


def test_unlisted_uids_are_mapped_and_well_known_ones_are_not(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.add_new(0x0008010C, "UI", "1.2.99.7")  # coding scheme
    image.add_new(0x00620021, "UI", "1.2.99.8")  # tracking UID: unlisted
    image.add_new(0x00081167, "UI", "1.2.840.10008.5.1.4.1.1.2")
    copy = deidentified(saved(image, tmp_path))
    assert copy[0x0008010C].value == "1.2.99.7"
    assert copy[0x00620021].value == keyed_uid(PLAN.key, "1.2.99.8")
    assert copy[0x00081167].value == "1.2.840.10008.5.1.4.1.1.2"


def test_several_values_all_change(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.add_new(0x00080058, "UI", ["1.2.99.1", "1.2.99.2"])
    image.add_new(0x00181012, "DA", ["20200101", "20200229"])
    copy = deidentified(saved(image, tmp_path))
    assert list(copy[0x00080058].value) == [keyed_uid(PLAN.key, f"1.2.99.{n}") for n in (1, 2)]
    assert list(copy[0x00181012].value) == ["20200104", "20200303"]


def test_a_malformed_date_is_emptied_and_counted(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.add_new(0x00080021, "DA", "yesterday")
    report = deidentify(saved(image, tmp_path), BytesIO(), PLAN)
    assert report.warnings == ["malformed date emptied: ((0008,0021))"]
    assert "yesterday" not in str(report)


def test_without_a_shift_the_dates_stay_and_it_says_so(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    plan = Plan(project="BICAM", key=PLAN.key, participant="P_1")
    copy = deidentified(saved(image, tmp_path), plan)
    assert copy.StudyDate == image.StudyDate
    assert copy.LongitudinalTemporalInformationModified == "UNMODIFIED"
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert "113106" in codes and "113107" not in codes
    assert not {"113101", "113111"} & set(codes)  # what was not done is not claimed


@pytest.mark.parametrize(
    ("charset", "wanted"), [("ISO_IR 100", "Førde"), ("ISO_IR 192", "Førde"), (None, "Forde")]
)
def test_inserted_text_fits_the_character_set(
    tmp_path: Path, charset: str | None, wanted: str
) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    for tag in list(image.keys()):
        if image[tag].VR in ("PN", "LO", "ST", "SH"):
            del image[tag]
    image.SpecificCharacterSet = charset
    plan = Plan(project="BICAM", key=PLAN.key, participant="P_1", site="Førde")
    assert deidentified(saved(image, tmp_path), plan).ClinicalTrialSiteName == wanted


def test_group_lengths_and_foreign_file_meta_go(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image[0x00080000] = DataElement(0x00080000, "UL", 99)
    image.file_meta.SourceApplicationEntityTitle = "HOSPITALCT1"
    image.file_meta.PrivateInformationCreatorUID = "1.2.99"
    copy = deidentified(saved(image, tmp_path))
    assert 0x00080000 not in copy
    assert "SourceApplicationEntityTitle" not in copy.file_meta
    assert "PrivateInformationCreatorUID" not in copy.file_meta


@pytest.mark.parametrize("content", [b"", b"GIF89a", bytes(200), bytes(128) + b"DICM" + bytes(64)])
def test_what_can_not_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    target = BytesIO()
    with pytest.raises(Reject):
        deidentify(path, target, PLAN)
    assert target.getvalue() == b""


def test_documents_are_held(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    with pytest.raises(Reject, match="encapsulated document"):
        deidentified(saved(image, tmp_path))


def test_a_refusal_does_not_quote_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Maker(4, size=32).ct(1).instances[0], tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise ValueError("could not write 'Nordmann^Kari'")

    monkeypatch.setattr(pydicom, "dcmwrite", fail)
    with pytest.raises(Reject) as caught:
        deidentified(path)
    assert "Nordmann" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
