"""The folders that the contestants de-identify: always the same for the same number of files."""

import random
from pathlib import Path

import numpy as np
from pydicom import Dataset, Sequence, dcmread
from pydicom.uid import UID, generate_uid

from demo.phantoms import Maker

SHARES = {"ct": 1, "mr": 1, "enhanced": 10}
"""The folders, and of each which part of the files is made: one enhanced image holds hundreds."""
CT_TOP_LEVEL = 179
"""As many top-level elements as a real scanner's CT slice has."""
_ENHANCED_MR = UID("1.2.840.10008.5.1.4.1.1.4.1")
_FRAMES = 130
# What a scanner writes besides what the phantom has; 26 nested elements per frame in `_frame`.
_CT_ELEMENTS: dict[str, object] = {
    "InstanceCreationDate": "20210304", "InstanceCreationTime": "101112", "ScanOptions": "HELICAL",
    "DataCollectionDiameter": "500", "DeviceSerialNumber": "SN4711", "SoftwareVersions": "v9.1",
    "ProtocolName": "5.1 Thorax", "ReconstructionDiameter": "360", "ExposureTime": "500",
    "DistanceSourceToDetector": "949.1", "DistanceSourceToPatient": "541",
    "GantryDetectorTilt": "0", "TableHeight": "164", "RotationDirection": "CW",
    "XRayTubeCurrent": "220", "Exposure": "110",
    "FilterType": "BODY FILTER", "GeneratorPower": "26400", "FocalSpots": "1.2",
    "ConvolutionKernel": "B30f", "PatientPosition": "FFS", "SingleCollimationWidth": 0.625,
    "TotalCollimationWidth": 40.0, "TableSpeed": 78.7, "SpiralPitchFactor": 0.98,
    "AcquisitionNumber": "1", "PositionReferenceIndicator": "SN", "SliceLocation": "0",
    "RescaleType": "HU", "LossyImageCompression": "00", "PixelPaddingValue": 0,
    "PerformedProcedureStepStartDate": "20210304", "PerformedProcedureStepStartTime": "100900",
    "PerformedProcedureStepID": "PPS7711", "RequestedProcedureDescription": "CT thorax",
    "ContrastBolusAgent": "Omnipaque 350", "ContrastBolusVolume": "80", "AdmissionID": "ADM9911",
    "MedicalAlerts": "none", "PerformingPhysicianName": "Vik^Astrid", "PregnancyStatus": 4,
    "NameOfPhysiciansReadingStudy": "Fjeldstad^Arne", "PatientComments": "kontroll",
    "BurnedInAnnotation": "NO", "InstitutionalDepartmentName": "Radiologisk",
    "StudyComments": "ok",
}  # fmt: skip
_PRIVATE_CREATORS = {0x0009: "PHANTOM IDEN 01", 0x0019: "PHANTOM ACQU 01",
                     0x0027: "PHANTOM IMAG 01", 0x0043: "PHANTOM PARM 01"}  # fmt: skip


def ct(folder: Path, files: int) -> None:
    """A CT series, 534 kB a file."""
    image = Maker(1).ct(1).instances[0]
    for keyword, value in _CT_ELEMENTS.items():
        setattr(image, keyword, value)
    image.ReferencedImageSequence = Sequence(_reference(number) for number in range(7))
    image.add_new(0x00091000, "OB", bytes(5600))
    _fill(image)
    noise = np.random.default_rng(1)
    lookup = noise.integers(0, 4095, 512 * 512, dtype="<u2")
    for number in range(files):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = _uid(number + 1)
        image.InstanceNumber = str(number + 1)
        image.ImagePositionPatient = ["-180", "-180", f"{-number * 0.625:.3f}"]
        image.SliceLocation = f"{-number * 0.625:.3f}"
        image.AcquisitionTime = image.ContentTime = f"10{number // 60 % 60:02}{number % 60:02}.25"
        image.PixelData = np.roll(lookup, number * 77).tobytes()
        image.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)


def _reference(number: int) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = _uid(80_000 + number)
    return reference


def _fill(image: Dataset) -> None:
    """Private elements of four creators until the image has as many as a scanner's."""
    rng = random.Random(1)
    for group, creator in _PRIVATE_CREATORS.items():
        image.add_new(group << 16 | 0x10, "LO", creator)
    number = 0
    while len(image) < CT_TOP_LEVEL:
        group = list(_PRIVATE_CREATORS)[number % len(_PRIVATE_CREATORS)]
        vr, value = [("DS", f"{rng.random():.6f}"), ("SS", rng.randint(0, 999)), ("LO", "NORMAL"),
                     ("SL", rng.randint(0, 99999)), ("FL", 1.5), ("OB", rng.randbytes(100)),
                     ("SH", "V9.1.2"), ("US", rng.randint(0, 999))][number % 8]  # fmt: skip
        image.add_new(group << 16 | 0x1000 | number + 1, vr, value)
        number += 1


def mr(folder: Path, files: int) -> None:
    """Small MR images with Siemens headers, some 37 kB a file."""
    for number, image in enumerate(Maker(2, size=256).mr(files).instances):
        image.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)


def enhanced(folder: Path, files: int) -> None:
    """A dynamic series of enhanced MR: 64 by 64, and more than 3,000 nested elements a file.

    Each file is one point in time: all its frames say when, and nothing else in them varies.
    """
    image = Maker(3, size=128).mr(1).instances[0]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = _ENHANCED_MR
    image.NumberOfFrames = str(_FRAMES)
    for number in range(files):
        image.PerFrameFunctionalGroupsSequence = Sequence(
            _frame(frame, point=number) for frame in range(_FRAMES)
        )
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = _uid(90_000 + number)
        image.InstanceNumber = str(number + 1)
        image.PixelData = np.random.default_rng(number).bytes(64 * 64 * 2 * _FRAMES)
        image.Rows = image.Columns = 64
        image.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)


def _frame(number: int, point: int) -> Dataset:
    """One frame's functional groups (PS3.3 C.7.6.16), 26 elements."""
    moment = f"20210304{10 + point // 1200:02}{point // 20 % 60:02}{point % 20 * 3:02}.{number:03}"
    frame = Dataset()
    groups: dict[str, dict[str, object]] = {
        "FrameContentSequence": {
            "FrameAcquisitionDateTime": moment, "FrameReferenceDateTime": moment,
            "FrameAcquisitionDuration": 40.0, "StackID": "1", "InStackPositionNumber": number + 1,
            "TemporalPositionIndex": point + 1, "FrameAcquisitionNumber": 1},
        "PlanePositionSequence": {"ImagePositionPatient": ["0", "0", str(number)]},
        "PlaneOrientationSequence": {"ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"]},
        "PixelMeasuresSequence": {"PixelSpacing": ["3", "3"], "SliceThickness": "2"},
        "MREchoSequence": {"EffectiveEchoTime": 74.0},
        "MRDiffusionSequence": {"DiffusionBValue": 1000.0, "DiffusionDirectionality": "ISOTROPIC"},
        "FrameVOILUTSequence": {"WindowCenter": "400", "WindowWidth": "800"},
        "ReferencedImageSequence": {"ReferencedSOPClassUID": _ENHANCED_MR,
                                    "ReferencedSOPInstanceUID": _uid(number % 7)},
    }  # fmt: skip
    for sequence, content in groups.items():
        item = Dataset()
        for keyword, value in content.items():
            setattr(item, keyword, value)
        setattr(frame, sequence, Sequence([item]))
    return frame


def _uid(number: int) -> UID:
    return generate_uid(entropy_srcs=[f"sluse-benchmark-{number}"])


def describe(path: Path) -> str:
    """A file's size and how many elements it has."""
    data_set = dcmread(path)
    everything = sum(1 for _ in data_set.iterall())
    return (
        f"{path.stat().st_size / 1000:.0f} kB, {len(data_set)} top-level elements of {everything}"
    )
