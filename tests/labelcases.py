"""Images and series with the labels that they should get.

`python -m tests.labelcases` prints the summary that docs/classification.md shows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom
import yaml
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from services.classifier.labels import Classifier, HeaderFacts, hospital_rules
from shared.header import Header, read_header
from tests import corpus

JUDGED = frozenset(
    {
        *("localizer", "T1", "T2", "T2*", "FLAIR", "PD", "DWI", "ADC", "DTI map", "SWI", "fMRI"),
        *("field map", "MRA", "perfusion", "spectroscopy", "CT contrast", "CT native"),
        *("dose report", "screenshot", "secondary capture", "XR", "US", "NM", "segmentation"),
        *("structured report", "RT dose", "RT plan", "waveform"),
    }
)
"""The labels by which a series is judged right or wrong: what it is, not who made it."""

Private = Mapping[tuple[int, str, int], tuple[str, Any]]
"""VR and value by group, creator and the element's low byte."""


@dataclass(frozen=True)
class Case:
    """A series: what its images share, what each has of its own, and what it should be called."""

    vendor: str
    expected: frozenset[str]
    shared: Mapping[str, Any]
    images: Sequence[Mapping[str, Any]] = ({},)
    private: Private = field(default_factory=dict)


def header_of(attributes: Mapping[str, Any], private: Private | None = None) -> Header:
    """The header of a file with these attributes, by keyword."""
    data_set = Dataset()
    data_set.file_meta = pydicom.dataset.FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    for (group, creator, element), (vr, value) in (private or {}).items():
        data_set.private_block(group, creator, create=True).add_new(element, vr, value)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        pydicom.dcmwrite(path, data_set, enforce_file_format=True)
        return read_header(path)


def facts(private: Private | None = None, /, **attributes: Any) -> HeaderFacts:
    """A made image as the rules see it."""
    return HeaderFacts(header_of(attributes, private))


def labels_of(case: Case, classifier: Classifier) -> frozenset[str]:
    """What the rules call the series."""
    images = [
        classifier.image(HeaderFacts(header_of({**case.shared, **own}, case.private)))
        for own in case.images
    ]
    return frozenset(classifier.labels(classifier.merge(images)))


@cache
def all_series() -> list[Case]:
    """The series of data/label-series.yaml."""
    groups = yaml.safe_load(
        (Path(__file__).parent / "data" / "label-series.yaml").read_text("utf-8")
    )
    return [
        _case(vendor, {**group["common"], **row})
        for vendor, group in groups.items()
        for row in group["series"]
    ]


def _case(vendor: str, row: dict[str, Any]) -> Case:
    expected, images = row.pop("is"), row.pop("images", [{}])
    private: dict[tuple[int, str, int], tuple[str, Any]] = {}
    for name in [name for name in row if " " in name]:
        group, *creator, element, vr = name.split()
        private[int(group, 16), " ".join(creator), int(element, 16)] = vr, row.pop(name)
    return Case(vendor, frozenset(expected), row, images, private)


_BUNDLED = {
    "secondary capture": "SC_* GDCMJ2K*.dcm image_dfl.dcm chr[A-I]*.dcm chrRuss.dcm chrX*.dcm",
    "NM, secondary capture": "JPEG-lossy.dcm JPEG2000*.dcm JPGExtended.dcm",
    "XR": "CR?/* chrJapMulti*.dcm chrKoreanMulti.dcm",
    "CT native": "CT2/* CT5N/* 693_J2KI.dcm",
    "CT contrast": "CT_small.dcm",
    "localizer": "CT2N/* MR1/* MR2/*",
    "MRA": "MR700/*",
    "T2": "MR_small*.dcm",
    "T1": "examples_overlay.dcm",
    "US": "ExplVR_BigEnd.dcm examples_jpeg2k.dcm examples_palette.dcm examples_*_color.dcm",
    "segmentation": "liver_*.dcm",
    "structured report": "reportsi*.dcm test-SR.dcm",
    "RT dose": "rtdose*.dcm badVR.dcm",
    "RT plan": "rtplan.dcm",
    "waveform": "waveform_ecg.dcm",
}  # fmt: skip
"""What pydicom's storage objects are. Left out: 51 CT slices that nothing says more about."""

_WORDS = frozenset({"SeriesDescription"})

Judgement = tuple[str, frozenset[str], frozenset[str]]
"""A group, what was expected, what was found."""


def judge_series(classifier: Classifier, *, described: bool = True) -> list[Judgement]:
    """Of the made series, by vendor; on request without their descriptions."""
    found: list[Judgement] = []
    for case in all_series():
        group, judged = case.vendor, case
        if not described:
            shared = {name: case.shared[name] for name in case.shared if name not in _WORDS}
            group, judged = f"{case.vendor}, descriptions left out", replace(case, shared=shared)
        found.append((group, case.expected, labels_of(judged, classifier) & JUDGED))
    return found


def judge_bundled(classifier: Classifier) -> list[Judgement]:
    """Of pydicom's storage objects."""
    found: list[Judgement] = []
    for path in corpus.storage_objects():
        for expected, names in _BUNDLED.items():
            if any(path.match(name) for name in names.split()):
                image = classifier.image(HeaderFacts(read_header(path)))
                labels = JUDGED.intersection(classifier.labels(image))
                found.append(("pydicom's objects", frozenset(expected.split(", ")), labels))
    return found


def summary(judgements: Iterable[Judgement]) -> str:
    """The table of docs/classification.md."""
    counts: dict[str, Counter[str]] = {}
    wrong: Counter[str] = Counter()
    for group, expected, found in judgements:
        count = counts.setdefault(group, Counter())
        count["all"] += 1
        count["right"] += expected == found
        count["missed"] += len(expected - found)
        count["wrong"] += len(found - expected)
        for label in sorted(expected - found) if "left out" not in group else ():
            wrong[f"{label} taken for {', '.join(sorted(found - expected)) or 'nothing'}"] += 1
    rows = [
        f"| {group} | {one['all']} | {one['right']} | {one['missed']} | {one['wrong']} |"
        for group, one in counts.items()
    ]
    head = [
        "| | judged | all labels right | labels missed | labels wrong |",
        "|---|---|---|---|---|",
    ]
    tail = [f"* {what}: {number}" for what, number in sorted(wrong.items())]
    return "\n".join([*head, *rows, "", *tail])


def judged() -> list[Judgement]:
    """Everything that the documentation has figures of."""
    ready = Classifier(hospital_rules())
    return [
        *judge_series(ready),
        *judge_bundled(ready),
        *judge_series(ready, described=False),
    ]


if __name__ == "__main__":
    print(summary(judged()))  # noqa: T201
