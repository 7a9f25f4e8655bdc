"""Contents with a policy of their own: reports, documents, video, raw data, curves, overlays."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    VideoEndoscopicImageStorage,
)

from demo.phantoms import Maker
from services.anonymizer.engine import Plan
from shared.errors import Reject
from shared.profile import ProfileError, load_profile
from shared.profile.concepts import concepts
from shared.profile.contents import POLICIES, Content
from tests.reports import item, report, texts_of
from tests.unit.test_engine import PLAN, deidentified, saved

PDF = b"%%PDF-1.4\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\n%b\nendstream\nendobj\n%%%%EOF"


def with_contents(base: str = "source-2019", **contents: str) -> Plan:
    named = {name.replace("_", "-"): policy for name, policy in contents.items()}
    document = {"format": 1, "name": "own", "base": base, "contents": named}
    return replace(PLAN, profile=load_profile(json.dumps(document)))


def image(**changes: str) -> Dataset:
    found = Maker(4, size=16).ct(1).instances[0]
    for keyword, value in changes.items():
        setattr(found, keyword, value)
    return found


# Structured reports


def test_free_text_and_names_of_a_report_are_replaced(tmp_path: Path) -> None:
    copy = deidentified(saved(report(), tmp_path))
    after = texts_of(copy)
    assert after["Finding"] == "ANONYMIZED"
    assert after["Person Observer Name"] == "ANONYMIZED"
    assert after["never heard of"] == "ANONYMIZED"
    assert "Hansen" not in copy.to_json()


def test_what_the_profile_says_of_an_attribute_goes_for_its_concept(tmp_path: Path) -> None:
    copy = deidentified(saved(report(), tmp_path))
    after = texts_of(copy)
    assert after["Subject ID"] == after["Subject Name"] == PLAN.participant
    assert after["Accession Number"] == copy.AccessionNumber
    assert after["Device Observer Serial Number"] == "SN-7"
    assert after["Person Observer's Organization Name"] == PLAN.project
    assert after["Subject Birth Date"] == "19000101"


def test_lesions_still_link_and_measurements_stay(tmp_path: Path) -> None:
    original = report()
    copy = deidentified(saved(original, tmp_path))
    before, after = texts_of(original), texts_of(copy)
    assert after["Tracking Identifier"] not in ("", "ANONYMIZED", before["Tracking Identifier"])
    again = deidentified(saved(report(), tmp_path))
    assert texts_of(again)["Tracking Identifier"] == after["Tracking Identifier"]
    assert after["Length"] == before["Length"] == "12.5"
    assert len(copy.ContentSequence) == len(original.ContentSequence)


def test_a_report_claims_that_its_content_was_cleaned(tmp_path: Path) -> None:
    def claims(data_set: Dataset, plan: Plan = PLAN) -> set[str]:
        copy = deidentified(saved(data_set, tmp_path), plan)
        return {code.CodeValue for code in copy.DeidentificationMethodCodeSequence}

    assert "113104" in claims(report())
    assert "113104" not in claims(image())
    assert "113104" not in claims(report(), with_contents(structured_reports="keep"))


def test_a_project_may_keep_what_reports_say(tmp_path: Path) -> None:
    copy = deidentified(saved(report(), tmp_path), with_contents(structured_reports="keep"))
    assert texts_of(copy)["Finding"] == f"{PLAN.participant} has a nodule"  # the sweep found her


def test_a_project_may_hold_reports_but_not_key_objects(tmp_path: Path) -> None:
    plan = with_contents(structured_reports="hold")
    with pytest.raises(Reject, match="a structured report"):
        deidentified(saved(report(), tmp_path), plan)
    selection = report(KeyObjectSelectionDocumentStorage)
    assert deidentified(saved(selection, tmp_path), plan).PatientID == PLAN.participant


def test_content_items_in_other_objects_are_cleaned_too(tmp_path: Path) -> None:
    preparation = Dataset()
    preparation.SpecimenPreparationStepContentItemSequence = [
        item("TEXT", "111703", "Processing step description", "fixed in formalin"),
        item("TEXT", "121106", "Comment", "told Kari Hansen"),
    ]
    original = image()
    original.SpecimenPreparationSequence = [preparation]
    copy = deidentified(saved(original, tmp_path))
    steps = copy.SpecimenPreparationSequence[0].SpecimenPreparationStepContentItemSequence
    assert [step.TextValue for step in steps] == ["fixed in formalin", "ANONYMIZED"]


def test_a_project_may_have_content_trees_removed(tmp_path: Path) -> None:
    copy = deidentified(saved(report(), tmp_path), with_contents(structured_reports="remove"))
    assert "ContentSequence" not in copy and copy.PatientID == PLAN.participant


def test_the_strict_profile_has_concepts_follow_its_own_rules(tmp_path: Path) -> None:
    document = {"format": 1, "name": "strict", "base": "ps3.15"}
    document["options"] = ["clean-structured-content"]  # type: ignore[assignment]
    plan = replace(PLAN, profile=load_profile(json.dumps(document)))
    after = texts_of(deidentified(saved(report(), tmp_path), plan))
    assert after["Device Observer Serial Number"] == "ANONYMIZED"
    assert after["Finding"] == "ANONYMIZED"


@pytest.mark.parametrize("name", concepts(), ids="-".join)
def test_concepts_are_those_of_the_standard(name: tuple[str, str]) -> None:
    scheme, code = name
    known = {one.value: one.meaning for one in map(codes.DCM.__getattr__, codes.DCM.dir())}
    assert scheme == "DCM" and known[code] == concepts()[name].meaning


# Documents


def document(content: bytes) -> Dataset:
    found = image(SOPClassUID=EncapsulatedPDFStorage, MIMETypeOfEncapsulatedDocument="text/xml")
    found.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    del found.PixelData
    found.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return found


def test_documents_are_held_unless_the_project_permits_them(tmp_path: Path) -> None:
    path = saved(document(b"<a>calibration report</a>"), tmp_path)
    with pytest.raises(Reject, match="an encapsulated document"):
        deidentified(path)
    copy = deidentified(path, with_contents(encapsulated_documents="keep"))
    assert copy.EncapsulatedDocument.startswith(b"<a>calibration report</a>")


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "deflated"])
@pytest.mark.parametrize("said", ["name", "uid", "date", "nothing"])
def test_a_document_that_names_the_person_is_held_all_the_same(
    tmp_path: Path, said: str, hidden: bool
) -> None:
    about = document(b"")
    text = {"name": str(about.PatientName).split("^")[0], "uid": about.StudyInstanceUID,
            "date": about.StudyDate, "nothing": "quality control"}[said]  # fmt: skip
    text = f"BT (Report: {text} ) Tj"
    about.EncapsulatedDocument = PDF % (zlib.compress(text.encode()) if hidden else text.encode())
    about["EncapsulatedDocument"].value += b"\0" * (len(about.EncapsulatedDocument) % 2)
    path, plan = saved(about, tmp_path), with_contents(encapsulated_documents="keep")
    if said == "nothing":
        assert deidentified(path, plan).EncapsulatedDocument == about.EncapsulatedDocument
    else:
        with pytest.raises(Reject, match="holds identifiers or dates"):
            deidentified(path, plan)


def test_a_document_that_can_not_be_looked_through_is_held(tmp_path: Path) -> None:
    bomb = PDF % zlib.compress(bytes(1 << 26))
    path = saved(document(bomb), tmp_path)
    with pytest.raises(Reject, match="too large to be searched"):
        deidentified(path, with_contents(encapsulated_documents="keep"))


# Video and raw data


@pytest.mark.parametrize(
    ("sop_class", "content"),
    [
        (VideoEndoscopicImageStorage, "video"),
        (RawDataStorage, "raw_data"),
        ("1.3.12.2.1107.5.9.1", "raw_data"),
    ],
)
def test_video_and_raw_data_are_held_unless_the_project_permits_them(
    tmp_path: Path, sop_class: str, content: str
) -> None:
    path = saved(image(SOPClassUID=sop_class), tmp_path)
    with pytest.raises(Reject, match="the project does not permit it"):
        deidentified(path)
    assert deidentified(path, with_contents(**{content: "keep"})).SOPClassUID == sop_class


def test_a_film_in_an_ordinary_class_is_a_video(tmp_path: Path) -> None:
    film = image()
    film.PixelData = encapsulate([b"\1\2\3\4"])
    film["PixelData"].VR, film["PixelData"].is_undefined_length = "OB", True
    film.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    path = saved(film, tmp_path)
    with pytest.raises(Reject, match="a video"):
        deidentified(path)
    assert deidentified(path, with_contents(video="keep")).PixelData == film.PixelData


# Curves and overlays


def drawn_on() -> Dataset:
    found = image()
    found.add_new(0x50000040, "LO", "Hansen")
    found.add_new(0x50003000, "OW", bytes(4))
    found.add_new(0x60001500, "LO", "ROI 1")
    found.add_new(0x60003000, "OW", bytes(4))
    return found


@pytest.mark.parametrize("base", ["source-2019", "ps3.15"])
@pytest.mark.parametrize(("content", "group"), [("curves", 0x5000), ("overlays", 0x6000)])
def test_curves_and_overlays_are_kept_removed_or_held(
    tmp_path: Path, content: str, group: int, base: str
) -> None:
    path = saved(drawn_on(), tmp_path)

    def has(**contents: str) -> bool:
        copy = deidentified(path, with_contents(base, **contents))
        return (group << 16 | 0x3000) in copy

    assert has() is (base == "source-2019")
    assert has(**{content: "keep"})
    assert not has(**{content: "remove"})
    with pytest.raises(Reject, match=f"holds objects with {content}"):
        has(**{content: "hold"})


# The format


def test_every_policy_can_be_written_down() -> None:
    for content, policies in POLICIES.items():
        for policy in policies:
            profile = with_contents(**{content: policy}).profile
            assert profile.policy(content) is policy
            if content not in (Content.CURVES, Content.OVERLAYS):
                assert profile.for_object("CT", "1.2").policy(content) is policy


def test_wrong_contents_are_named_with_what_is_possible() -> None:
    with pytest.raises(ProfileError) as caught:
        with_contents(video="clean", pictures="keep")
    assert caught.value.problems == [
        "contents: video can't be 'clean'; choose one of hold, keep",
        "contents: unknown 'pictures'; choose among curves, overlays, structured-reports, "
        "encapsulated-documents, video, raw-data",
    ]


def test_a_project_may_hold_objects_by_any_element(tmp_path: Path) -> None:
    rule = {"element": "BurnedInAnnotation", "action": "hold"}
    document = {"format": 1, "name": "own", "base": "source-2019", "rules": [rule]}
    plan = replace(PLAN, profile=load_profile(json.dumps(document)))
    path = saved(image(BurnedInAnnotation="YES"), tmp_path)
    with pytest.raises(Reject, match="holds objects with BurnedInAnnotation"):
        deidentified(path, plan)
    plain = image()
    assert "BurnedInAnnotation" not in plain
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert deidentified(saved(plain, tmp_path), plan).PatientID == PLAN.participant
