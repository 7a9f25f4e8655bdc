"""Structured reports, as input for tests (PS3.3 C.17.3)."""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from demo.phantoms import Maker

_VALUES = {"TEXT": "TextValue", "PNAME": "PersonName", "DATE": "Date", "UIDREF": "UID"}


def item(value_type: str, code: str, meaning: str, value: str, scheme: str = "DCM") -> Dataset:
    """A content item of a concept."""
    found, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code, scheme, meaning
    found.RelationshipType, found.ValueType = "CONTAINS", value_type
    found.ConceptNameCodeSequence = [name]
    if value_type == "NUM":
        measured = Dataset()
        measured.NumericValue = value
        found.MeasuredValueSequence = [measured]
    else:
        setattr(found, _VALUES[value_type], value)
    return found


def report(sop_class: str = ComprehensiveSRStorage) -> Dataset:
    """A report about Kari Hansen."""
    found = Maker(4, size=16).ct(1).instances[0]
    del found.PixelData
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = sop_class
    found.Modality, found.PatientName, found.PatientBirthDate = "SR", "Hansen^Kari", "19700102"
    measurements = item("TEXT", "121071", "Finding", "Hansen has a nodule")
    measurements.ContentSequence = [
        item("TEXT", "112039", "Tracking Identifier", "Kari's nodule 1"),
        item("NUM", "410668003", "Length", "12.5", "SCT"),
    ]
    found.ValueType, found.ContinuityOfContent = "CONTAINER", "SEPARATE"
    found.ContentSequence = [
        item("PNAME", "121008", "Person Observer Name", "Lege^Ola"),
        item("TEXT", "121009", "Person Observer's Organization Name", "Ullevål"),
        item("PNAME", "121029", "Subject Name", "Hansen^Kari"),
        item("TEXT", "121030", "Subject ID", "02017012345"),
        item("DATE", "121031", "Subject Birth Date", "19700102"),
        item("TEXT", "121022", "Accession Number", "A-17"),
        item("TEXT", "121016", "Device Observer Serial Number", "SN-7"),
        item("TEXT", "99999", "never heard of", "Hansen's husband called", "99LOCAL"),
        measurements,
    ]
    return found


def texts_of(data_set: Dataset) -> dict[str, str]:
    """What the content items of a report say, by the meaning of their concept."""
    return dict(_texts(data_set))


def _texts(data_set: Dataset) -> Iterator[tuple[str, str]]:
    for found in data_set.get("ContentSequence", ()):
        meaning = found.ConceptNameCodeSequence[0].CodeMeaning
        if "MeasuredValueSequence" in found:
            yield meaning, str(found.MeasuredValueSequence[0].NumericValue)
        for keyword in _VALUES.values():
            if keyword in found:
                yield meaning, str(found[keyword].value)
        yield from _texts(found)
