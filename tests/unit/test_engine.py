"""The engine on whole objects: what it changes, what it leaves, what it refuses."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from demo.checking import leaks, secrets_of
from demo.phantoms import Maker
from services.anonymizer.engine import ObjectUids, Plan, deidentify
from shared.errors import Reason, Reject
from shared.identity import IMPLEMENTATION_CLASS_UID, keyed_uid
from shared.profile import load_profile
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
    assert report.warnings == ["malformed date emptied: (0008,0021)"]
    assert "yesterday" not in str(report)


def test_without_a_shift_the_dates_stay_and_it_says_so(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    plan = Plan(project="BICAM", key=PLAN.key, participant="P_1")
    copy = deidentified(saved(image, tmp_path), plan)
    assert copy.StudyDate == image.StudyDate
    assert copy.LongitudinalTemporalInformationModified == "UNMODIFIED"
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert "113106" in codes and "113107" not in codes
    assert not {"113101", "113105", "113111"} & set(codes)  # what was not done is not claimed


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

    monkeypatch.setattr("services.anonymizer.engine.fast.header_edits", fail)
    with pytest.raises(Reject) as caught:
        deidentified(path)
    assert "Nordmann" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_private_and_unknown_classes_stay_and_can_be_sent(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.SOPClassUID = "1.2.276.0.7230010.3.99"
    image.add_new(0x00081150, "UI", "1.2.276.0.7230010.3.99")
    copy = deidentified(saved(image, tmp_path))
    assert copy.SOPClassUID == copy.ReferencedSOPClassUID == "1.2.276.0.7230010.3.99"
    assert copy.file_meta.MediaStorageSOPClassUID == "1.2.276.0.7230010.3.99"


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.4.19900101.7", "1.2.840.10008.9.0101901"])
def test_uids_that_only_look_well_known_are_mapped(tmp_path: Path, uid: str) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.SOPInstanceUID = image.StudyInstanceUID = uid
    image.add_new(0x00081155, "UI", uid)
    copy = deidentified(saved(image, tmp_path))
    wanted = keyed_uid(PLAN.key, uid)
    assert copy.SOPInstanceUID == copy.StudyInstanceUID == copy[0x00081155].value == wanted


def test_a_registered_uid_as_its_own_is_mapped_all_the_same(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.SOPInstanceUID = "1.2.840.10008.1.5.4"  # a colour palette's
    copy = deidentified(saved(image, tmp_path))
    assert copy.SOPInstanceUID == keyed_uid(PLAN.key, "1.2.840.10008.1.5.4")


def _nested(image: Dataset, *, implicit: bool) -> bytes:
    """An item with relatives and addresses, as bytes of a sequence."""
    item = Dataset()
    item.PatientBirthName, item.PatientAddress = "Hemmelig^Navn", "Skjult vei 1"
    item.PatientName = "Hemmelig^Navn"
    written = DicomBytesIO()
    written.is_little_endian, written.is_implicit_VR = True, implicit
    write_dataset(written, item)
    raw = written.getvalue()
    return b"\xfe\xff\x00\xe0" + len(raw).to_bytes(4, "little") + raw


@pytest.mark.parametrize("tag", [0x00431099, 0x00281F00, 0x00081140])
@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_sequences_that_do_not_say_so_are_entered(
    tmp_path: Path, tag: int, vr: str, syntax: str | None
) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.file_meta.TransferSyntaxUID = syntax or image.file_meta.TransferSyntaxUID
    if tag >> 16 & 1:
        image.add_new(0x00430010, "LO", "NOBODY KNOWS THIS CREATOR")
    implicit = vr == "UN" or syntax is not None
    image[tag] = DataElement(tag, "OB", _nested(image, implicit=implicit))
    path = saved(image, tmp_path)
    start = tag.to_bytes(4, "big")
    start = bytes([start[1], start[0], start[3], start[2]])
    path.write_bytes(path.read_bytes().replace(start + b"OB", start + vr.encode()))
    assert b"Skjult" in path.read_bytes()
    target = BytesIO()
    deidentify(path, target, PLAN)
    for secret in (b"Hemmelig", b"Skjult"):
        assert secret not in target.getvalue()


def test_items_that_can_not_be_read_are_held(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.add_new(0x00430010, "LO", "NOBODY KNOWS THIS CREATOR")
    image.add_new(0x00431099, "UN", _nested(image, implicit=True)[:-3])
    with pytest.raises(Reject, match="items that can't be read"):
        deidentified(saved(image, tmp_path))


def test_identifiers_of_nested_people_are_looked_for_everywhere(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    other = Dataset()
    other.PatientID, other.PatientName = "99887766554", "Øvrebø^Ragna"
    image.OtherPatientIDsSequence = [other]
    image.ImageComments = "see 99887766554 and ØVREBØ"
    image.add_new(0x00430010, "LO", "NOBODY KNOWS THIS CREATOR")
    image.add_new(0x00431001, "IS", "998877665")
    image.add_new(0x00431002, "LO", "Ragna")
    image.add_new(0x00431003, "DA", image.PatientBirthDate)
    image.add_new(0x00431004, "OW", "Øvrebø12".encode("utf-16-be"))
    copy = deidentified(saved(image, tmp_path))
    assert copy.ImageComments == "see BICAM_001 and BICAM_001"
    assert copy[0x00431001].value == 998877665  # not the whole of anybody's id
    assert copy[0x00431002].value == "BICAM_001"
    assert not copy[0x00431003].value


def test_structure_is_not_swept(tmp_path: Path) -> None:
    image = Maker(4, size=32).mr(1).instances[0]
    image.InstitutionName, image.PatientID = "SIEMENS", "ISO_IR 100"
    copy = deidentified(saved(image, tmp_path))
    assert copy[0x00290010].value == "SIEMENS CSA HEADER"
    assert copy.SpecificCharacterSet == "ISO_IR 100"


def test_another_creators_block_in_the_place_of_ours_goes(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.add_new(0x00130010, "LO", "SOMEBODY")
    image.add_new(0x00131020, "LO", "Hemmelig")
    copy = deidentified(saved(image, tmp_path))
    assert copy[0x00130010].value == "CTP" and 0x00131020 not in copy


def test_text_that_does_not_change_keeps_its_bytes(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.SpecificCharacterSet = "ISO_IR 192"
    path = saved(image, tmp_path)
    wrong = path.read_bytes().replace(b"CT thorax med kontrast", b"CT gr\xf8nn thorax kontra")
    path.write_bytes(wrong)
    target = BytesIO()
    deidentify(path, target, PLAN)
    assert b"CT gr\xf8nn thorax kontra" in target.getvalue()


def test_a_document_in_another_class_is_held(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    item = Dataset()
    item.add_new(0x00420011, "OB", b"%PDF")
    image.add_new(0x00081140, "SQ", [item])
    with pytest.raises(Reject, match="encapsulated document"):
        deidentified(saved(image, tmp_path))


def test_readers_that_disagree_hold_the_object(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    path = saved(image, tmp_path)
    raw = path.read_bytes()
    place = raw.index(b"\x20\0\x0d\0UI")
    path.write_bytes(raw[:place] + b"\x10\0\x20\0LO\x04\0EVIL" + raw[place:])
    with pytest.raises(Reject):
        deidentified(path)


def test_an_object_that_was_not_catalogued_is_held(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    path = saved(image, tmp_path)
    uids = (str(image.StudyInstanceUID), str(image.SeriesInstanceUID), str(image.SOPInstanceUID))
    deidentify(path, BytesIO(), PLAN, ObjectUids(*uids))
    with pytest.raises(Reject, match="not the object"):
        deidentify(path, BytesIO(), PLAN, ObjectUids(*uids[:2], "1.2.3"))


def test_more_identifiers_than_anybody_has_are_held(tmp_path: Path) -> None:
    image = Maker(4, size=32).ct(1).instances[0]
    image.OtherPatientIDs = [f"ID{n:06}" for n in range(300)]
    with pytest.raises(Reject, match="identifiers"):
        deidentified(saved(image, tmp_path))


def test_dates_that_the_table_does_not_name_move_too(tmp_path: Path) -> None:
    data_set = Maker(1, size=16).ct(1).instances[0]
    frame = Dataset()
    frame.FrameAcquisitionDateTime = "20200228101112.500000"
    data_set.FrameContentSequence = [frame]
    data_set.IssueDateOfImagingServiceRequest = "20200228"
    after = deidentified(saved(data_set, tmp_path))
    assert after.FrameContentSequence[0].FrameAcquisitionDateTime == "20200302101112.500000"
    assert after.IssueDateOfImagingServiceRequest == "20200302"


def test_the_senders_ae_title_is_looked_for_too(tmp_path: Path) -> None:
    data_set = Maker(1, size=16).ct(1).instances[0]
    data_set.file_meta.SourceApplicationEntityTitle = "FJORDSCANNER"
    data_set.SeriesDescription = "head, FJORDSCANNER"
    after = deidentified(saved(data_set, tmp_path))
    assert after.SeriesDescription == "head, BICAM_001"
    assert "SourceApplicationEntityTitle" not in after.file_meta


def test_the_report_says_what_was_done_and_no_value(tmp_path: Path) -> None:
    study = Maker(3, size=16).mr(1)
    path = saved(study.instances[0], tmp_path)
    plain, explained = BytesIO(), BytesIO()
    assert deidentify(path, plain, PLAN).changes == []
    report = deidentify(path, explained, PLAN, explain=True)
    assert explained.getvalue() == plain.getvalue()
    done = {change.path: change.action for change in report.changes}
    assert done["(0010,0010)"] == "written" and done["(0010,1040)"] == "removed"
    assert done["(0008,0020)"] == "changed"
    assert any("[1]." in path for path in done)
    told = json.dumps(report.as_json())
    assert not [secret for secret in study.person.secrets if secret in told]


def test_a_profile_edits_and_puts_dummies(tmp_path: Path) -> None:
    data_set = Maker(1, size=16).ct(1).instances[0]
    data_set.SeriesDescription = "Dr. Moe v12"
    rules = [
        {"element": "SeriesDescription", "action": "regex", "pattern": r"Dr\. \w+ (v[0-9]+)",
         "replacement": r"\1"},
        {"element": "StudyDescription", "action": "dummy"},
        {"element": "PatientSex", "action": "empty", "when": {"modality": ["CT"]}},
        {"element": "BodyPartExamined", "action": "empty", "when": {"modality": ["MR"]}},
    ]  # fmt: skip
    profile = load_profile(
        json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": rules})
    )
    before = data_set.BodyPartExamined
    after = deidentified(saved(data_set, tmp_path), replace(PLAN, profile=profile))
    assert after.SeriesDescription == "v12"
    assert after.StudyDescription == "ANONYMIZED"
    assert after.PatientSex == "" and after.BodyPartExamined == before


def test_what_the_profile_removes_stays_away_whoever_reads(tmp_path: Path) -> None:
    rules = [{"element": "Manufacturer", "action": "remove"}]
    profile = load_profile(
        json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": rules})
    )
    path, plan = (
        saved(Maker(1, size=16).ct(1).instances[0], tmp_path),
        replace(PLAN, profile=profile),
    )
    fast, careful = BytesIO(), BytesIO()
    deidentify(path, fast, plan)
    deidentify(path, careful, plan, explain=True)
    assert fast.getvalue() == careful.getvalue()
    assert "Manufacturer" not in pydicom.dcmread(BytesIO(fast.getvalue()))


@pytest.mark.parametrize("path", storage_objects(), ids=lambda path: path.name)
def test_the_strict_profile_leaves_nothing_private(path: Path) -> None:
    strict = load_profile(json.dumps({"format": 1, "name": "strict", "base": "ps3.15"}))
    try:
        after = deidentified(path, replace(PLAN, profile=strict))
    except Reject:
        return
    private = [
        element.tag
        for element in after.iterall()
        if element.tag.is_private and not element.tag.is_private_creator
    ]
    assert {tag.group for tag in private} <= {0x0013}
    assert after.get("LongitudinalTemporalInformationModified") == "REMOVED"
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert codes == ["113100"]
    assert not after.get("StudyDate") and not after.get("PatientBirthDate")
