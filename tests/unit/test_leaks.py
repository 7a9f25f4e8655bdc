"""The leak scanner finds what is planted, and nothing in a clean file."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO

import pydicom
import pytest
from pydicom import DataElement, Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.identifiers import Kind
from tests.leaks import Finding, leaks
from tests.rawreading import read_raw

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES, INSTANCE = (f"1.3.12.2.1107.5.2.30.25000.202001060815{n:08}" for n in (1, 2, 3))
OTHER, PRIVATE = "1.2.826.0.1.3680043.8.498.7777777777", "1.2.840.113619.2.80.12345.678.90123"
SHIFT = -37


def original() -> Dataset:
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID, image.SOPInstanceUID = CT, INSTANCE
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, SERIES
    image.PatientName, image.PatientID = "Sørlie-Vik^Åse^Bo", "06015012345"
    image.PatientBirthDate, image.StudyDate = "19500106", "20200106"
    image.AcquisitionDateTime = "20200106081500.5"
    image.PatientAddress, image.PatientTelephoneNumbers = "Myrlia 12, Bergen", "+47 912 34 567"
    image.ReferringPhysicianName, image.OperatorsName = "Langeland^Tor", "Fjeldstad^Arne"
    image.InstitutionName, image.StationName = "Nordnes sjukehus", "LAB12STN"
    image.AccessionNumber, image.StudyID = "AN123456789", "7"
    image.DeviceUID, image.ScheduledStationAETitle = "1.2.3.4.5.6.7.8.9.10.11.12.13", "KEPTAE"
    image.BitsAllocated = 8
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, OTHER
    image.ReferencedImageSequence = Sequence([reference])
    image.add_new(0x00090010, "LO", "SOMEBODY")
    image.add_new(0x00091001, "LO", f"copied from {PRIVATE} by hand")
    image.PixelData = b"06015012345 Langeland ".ljust(64, b"\0")
    return image


def clean() -> Dataset:
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID, image.SOPInstanceUID = CT, "2.25.3"
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
    image.PatientName = image.PatientID = "BICAM_001"
    image.PatientBirthDate, image.StudyDate = "", "20191130"
    image.InstitutionName, image.StudyID = "BICAM", "ABCDEFGHIJKLMNOP"
    image.DeviceUID, image.ScheduledStationAETitle = "1.2.3.4.5.6.7.8.9.10.11.12.13", "KEPTAE"
    image.BitsAllocated = 8
    # Alike, but not the same: no finding
    image.StudyDescription = "Langelandsveien, vikar, LAB12STNX, 7, Bo, AN1234567890, CT"
    image.add_new(0x00090010, "LO", "SOMEBODY")
    image.add_new(0x00091001, "LO", f"{STUDY[:-20]} 20200107 120200106 2020010612 912 34 568")
    image.PixelData = b"06015012345 Langeland ".ljust(64, b"\0")
    return image


def written(image: Dataset, syntax: str = ExplicitVRLittleEndian, ae: str | None = None) -> bytes:
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    if ae:
        image.file_meta.SourceApplicationEntityTitle = ae
    target = BytesIO()
    pydicom.dcmwrite(target, image, enforce_file_format=True)
    return target.getvalue()


def found(copy: bytes, shift_days: int = SHIFT) -> list[Finding]:
    return leaks(written(original(), ae="SCANNER7"), copy, shift_days=shift_days,
                 granted=["BICAM", "BICAM_001"])  # fmt: skip


def private(value: bytes, vr: str = "OB") -> Callable[[Dataset], None]:
    return lambda image: image.__setitem__(0x00091002, DataElement(0x00091002, vr, value))


def text(value: str) -> Callable[[Dataset], None]:
    return lambda image: setattr(image, "ImageComments", value)


def nested(value: str) -> Callable[[Dataset], None]:
    def plant(image: Dataset) -> None:
        inner, outer = Dataset(), Dataset()
        inner.add_new(0x00211001, "LO", value)
        outer.add_new(0x00211042, "SQ", Sequence([inner]))
        image.add_new(0x002110FE, "SQ", Sequence([outer]))

    return plant


def packed(uid: str) -> bytes:
    halves = [11 if letter == "." else int(letter) + 1 for letter in uid + "." * (len(uid) % 2)]
    return bytes(a << 4 | b for a, b in zip(halves[::2], halves[1::2], strict=True))


SECOND = int(datetime(2020, 1, 6, 8, 15, tzinfo=UTC).timestamp()).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (text("see Langeland"), Kind.NAME),
        (text("LANGELAND, T."), Kind.NAME),
        (text("for ÅSE only"), Kind.NAME),
        (text("Vik's"), Kind.NAME),
        (text("_Fjeldstad_"), Kind.NAME),
        (private("Sørlie".encode("utf-16-le")), Kind.NAME),
        (private("SØRLIE".encode("utf-16-be")), Kind.NAME),
        (private("sørlie".encode()), Kind.NAME),
        (private("Sørlie".encode("latin-1"), "UN"), Kind.NAME),
        (text("id:06015012345"), Kind.ID),
        (nested("AN123456789"), Kind.ID),
        (private(b"\1\2AN123456789\3\4"), Kind.ID),
        (lambda image: setattr(image, "StudyID", "7"), Kind.ID),
        (text("*06.01.1950"), Kind.BIRTH_DATE),
        (text("19500106"), Kind.BIRTH_DATE),
        (text("home: myrlia 12, bergen"), Kind.ADDRESS),
        (text("+47 912 34 567"), Kind.PHONE),
        (text("tlf 4791234567"), Kind.PHONE),
        (text("Nordnes Sjukehus, 3rd floor"), Kind.INSTITUTION),
        (private(b"LAB12STN".ljust(16, b"\0")), Kind.INSTITUTION),
        (text("sent by SCANNER7"), Kind.AE),
        (nested(STUDY), Kind.UID),
        (private(b"<" + SERIES.encode() + b".4.5>"), Kind.UID),
        (private(INSTANCE.encode("utf-16-le")), Kind.UID),
        (private(packed(STUDY)), Kind.UID),
        (lambda image: setattr(image, "FrameOfReferenceUID", OTHER), Kind.UID),
        (text(PRIVATE), Kind.UID),
        (text("on 20200106"), Kind.DATE),
        (text("on 2020-01-06"), Kind.DATE),
        (text("on 06-jan-2020"), Kind.DATE),
        (text("20200106081500"), Kind.DATE),
        (private(b"1/6/2020 06.01.2020"), Kind.DATE),
        (private(gzip.compress(b'set pat "Langeland"', mtime=0) + b"\0"), Kind.NAME),
        (private(SECOND, "UL"), Kind.EPOCH),
    ],
)  # fmt: skip
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_is_planted_is_found(
    plant: Callable[[Dataset], None], kind: Kind, syntax: str
) -> None:
    image = clean()
    plant(image)
    if kind is Kind.EPOCH:
        image[0x00091002].value = int.from_bytes(SECOND, "little")
    assert kind in {one.kind for one in found(written(image, syntax))}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_clean_copy_has_no_findings(syntax: str) -> None:
    assert found(written(clean(), syntax)) == []


def test_dates_may_stand_when_the_plan_does_not_move_them() -> None:
    image = clean()
    image.StudyDate, image.ImageComments = "20200106", "born 1950-01-06"
    assert {one.kind for one in found(written(image), shift_days=0)} == {Kind.BIRTH_DATE}


def test_file_meta_and_preamble_are_searched() -> None:
    copy = written(clean(), ae="SCANNER7")
    assert [str(one) for one in found(copy)] == [
        "an AE title S*** (8 characters) in file meta 00020016"
    ]
    copy = b"Langeland".ljust(128, b"\0") + written(clean())[128:]
    assert [(one.kind, one.where) for one in found(copy)] == [(Kind.NAME, "the preamble")]


def test_deflated_copies_are_inflated() -> None:
    image = clean()
    image.ImageComments = "Langeland"
    copy = written(image, "1.2.840.10008.1.2.1.99")
    assert b"Langeland" not in copy
    assert Kind.NAME in {one.kind for one in found(copy)}


def test_a_finding_does_not_repeat_the_secret() -> None:
    image = clean()
    image.ImageComments = "Langeland 06015012345"
    told = " ".join(map(str, found(written(image))))
    assert "Langeland" not in told and "06015012345" not in told
    assert "00204000" in told


def test_a_copy_that_can_not_be_read_to_its_end_is_a_finding() -> None:
    assert Kind.UNREADABLE in {one.kind for one in found(written(clean())[:-70])}
    assert Kind.UNREADABLE in {one.kind for one in found(written(clean()) + b"\x09\0\x01\x10LO")}


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Wang^Li=王^力"])
def test_names_in_several_character_sets(name: str) -> None:
    before, copy = original(), clean()
    before.SpecificCharacterSet = copy.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    if "王" in name:
        before.SpecificCharacterSet = copy.SpecificCharacterSet = "GB18030"
    before.PatientName = name
    assert leaks(written(before), written(copy), shift_days=SHIFT) == []
    copy.ImageComments = f"x {name.split('=')[1]} x"
    assert {one.kind for one in leaks(written(before), written(copy), shift_days=SHIFT)} == {
        Kind.NAME
    }


def test_secrets_are_collected_from_hidden_sequences() -> None:
    """A sequence of unknown representation, and one in the private value of an implicit file."""
    inner = Dataset()
    inner.PatientName = "Mjelde^Tuva"
    before = original()
    before.add_new(0x00211042, "SQ", Sequence([inner]))
    copy = clean()
    copy.ImageComments = "Mjelde"
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        kinds = {one.kind for one in leaks(written(before, syntax), written(copy))}
        assert kinds == {Kind.NAME}


def test_the_reader_agrees_on_deflated_and_plain() -> None:
    plain = read_raw(written(clean()))
    assert plain.whole
    deflated = read_raw(written(clean(), "1.2.840.10008.1.2.1.99"))
    assert deflated.whole
    assert [one.path for one in plain.elements] == [one.path for one in deflated.elements]
