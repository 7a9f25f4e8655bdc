"""Compares what arrived in the research PACS with what was sent, and looks for what leaked."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from demo.phantoms import Study


@dataclass(frozen=True)
class Checked:
    """One delivered instance: the original, the copy, and what is wrong with the copy."""

    original: Dataset
    copy: Dataset
    faults: list[str]


def check(study: Study, original: Dataset, path: Path, participant: str) -> Checked:
    """Check the delivered copy of `original` at `path`."""
    copy = pydicom.dcmread(path)
    faults = []
    if copy.PatientID != participant or str(copy.PatientName) != participant:
        faults.append("not the participant's id")
    if copy.PixelData != original.PixelData:
        faults.append("the pixels have changed")
    if copy.StudyInstanceUID == original.StudyInstanceUID:
        faults.append("the study has kept its UID")
    faults += [f"contains {what}" for what in leaks(copy, secrets_of(study, original, participant))]
    return Checked(original, copy, faults)


def secrets_of(study: Study, original: Dataset, participant: str) -> dict[str, str]:
    """What must not be found in a copy, by a name that may be shown."""
    texts = {f"identifier {n}": text for n, text in enumerate(study.person.secrets)}
    texts |= {
        "the original study UID": str(original.StudyInstanceUID),
        "the original series UID": str(original.SeriesInstanceUID),
        "the original SOP instance UID": str(original.SOPInstanceUID),
    }
    return {name: text for name, text in texts.items() if text != participant}


def leaks(copy: Dataset, secrets: dict[str, str]) -> list[str]:
    """The names of the secrets that stand anywhere in the copy's header, in any common encoding."""
    header = Dataset()
    for tag in copy.keys() - {0x7FE00010}:
        header[tag] = copy[tag]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian  # never deflated
    written = BytesIO()
    pydicom.dcmwrite(written, header)
    haystack = written.getvalue().lower()
    return [name for name, text in secrets.items() if any(s in haystack for s in _spellings(text))]


def _spellings(text: str) -> set[bytes]:
    """How a text may stand in bytes whose ASCII letters are in lower case."""
    return {
        spelling.encode(encoding, "ignore").lower()
        for spelling in (text, text.lower(), text.upper())
        for encoding in ("latin-1", "utf-8", "utf-16-le")
    }
