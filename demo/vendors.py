"""Private blocks as the vendors' scanners and archives write them, with secrets planted in them.

Layouts follow pydicom's private dictionary and what was measured in real files; every value is
invented. Each function adds its blocks to a data set that has the usual attributes of an image, and
returns what it planted.
"""

import gzip
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydicom import DataElement, Dataset, Sequence

from demo.people import Person
from demo.siemens import csa1_header, csa_header, protocol

SERIAL = "45152"
"""The invented Siemens scanner's, which stands in the UIDs that it makes."""


@dataclass(frozen=True)
class Planted:
    """A data set with a vendor's blocks, and what must not be found in it afterwards."""

    data_set: Dataset
    secrets: list[str] = field(default_factory=list)


def siemens_csa(data_set: Dataset, person: Person, *, csa2: bool = True) -> Planted:
    """Classic Siemens MR: CSA image and series headers with a measurement protocol."""
    day, uid = str(data_set.StudyDate), siemens_uid(str(data_set.StudyDate), 1)
    frame = siemens_uid(str(data_set.StudyDate), 2)
    header = csa_header if csa2 else csa1_header
    image = {
        "EchoLinePosition": ("IS", ["64"]),
        "NumberOfImagesInMosaic": ("US", ["4"]),
        "B_value": ("IS", ["1000"]),
        "DiffusionDirectionality": ("CS", ["DIRECTIONAL"]),
        "DiffusionGradientDirection": ("FD", ["0.70710678", "0.70710678", "0.00000000"]),
        "B_matrix": ("FD", ["500.0", "500.0", "0.0", "500.0", "0.0", "0.0"]),
        "MosaicRefAcqTimes": ("FD", ["0.00000000", "1052.50000", "527.50000", "1580.00000"]),
        "SliceNormalVector": ("FD", ["0.00000000", "0.00000000", "1.00000000"]),
        "PhaseEncodingDirectionPositive": ("IS", ["1"]),
        "BandwidthPerPixelPhaseEncode": ("FD", ["11.15500000"]),
        "TimeAfterStart": ("DS", []),
        "ImageType4MF": ("CS", []),
        "ICE_Dims": ("LO", [f"X_1_1_1_1_1_1_1_1_1_3_1_{uid}"]),
        "ReferencedImageSequence": ("UI", ["1.2.840.10008.5.1.4.1.1.4", uid]),
        "PatientName": ("PN", [person.name]),
    }
    text = protocol(
        {
            "DeviceSerialNumber": SERIAL,
            "InstitutionName": person.institution,
            "tPatientName": person.name.replace("^", ", "),
            "PatientLOID": "NONE.4711",
            "tFrameOfReference": frame,
            "tMeasuredAt": f"{day[:4]}-{day[4:6]}-{day[6:]}",
        }
    )
    series = {
        "UsedPatientWeight": ("IS", ["71"]),
        "MrProtocolVersion": ("IS", ["41310008"]),
        "SeriesFrom": ("DS", [day]),
        "DeviceSerialNumber": ("LO", [SERIAL]),
        "Laterality4MF": ("LO", [person.patient_id]),
        "MrPhoenixProtocol": ("UN", [text]),
        "Isocentered": ("IS", ["1"]),
    }
    _add(data_set, 0x0029, 0x10, "SIEMENS CSA HEADER", {
        0x08: ("CS", "IMAGE NUM 4"), 0x09: ("LO", day), 0x10: ("OB", header(image)),
        0x18: ("CS", "MR"), 0x19: ("LO", day), 0x20: ("OB", header(series)),
    })  # fmt: skip
    _add(data_set, 0x0029, 0x11, "SIEMENS MEDCOM HEADER2", {0x60: ("LO", "com")})
    _add(data_set, 0x0029, 0x12, "SIEMENS CSA REPORT", {0x17: ("UI", uid)})
    _add(data_set, 0x0019, 0x10, "SIEMENS MR HEADER", {
        0x08: ("CS", "IMAGE NUM 4"), 0x0C: ("IS", "1000"),
        0x0E: ("FD", [0.70710678, 0.70710678, 0.0]), 0x29: ("FD", [0.0, 1052.5, 527.5, 1580.0]),
    })  # fmt: skip
    return Planted(data_set, [uid, frame, day, f"{day[:4]}-{day[4:6]}", "NONE.4711", person.name,
                              person.patient_id, person.institution, f".{SERIAL}."])  # fmt: skip


def siemens_xa(data_set: Dataset, person: Person, frames: int = 4) -> Planted:
    """Siemens XA, enhanced multi-frame: private blocks within the functional groups."""
    day, uid = str(data_set.StudyDate), siemens_uid(str(data_set.StudyDate), 3)
    text = protocol({"DeviceSerialNumber": SERIAL, "tPatientName": person.name, "tUid": uid})
    shared_block, shared = Dataset(), Dataset()
    _add(shared_block, 0x0021, 0x10, "SIEMENS MR SDS 01", {
        0x19: ("OB", text.encode("latin-1") + b"\0" * (len(text) % 2)),
        0x60: ("DT", f"{day}081233.120000"),
    })  # fmt: skip
    _add(shared, 0x0021, 0x10, "SIEMENS MR SDS 01", {0xFE: ("SQ", Sequence([shared_block]))})
    per_frame = []
    for number in range(1, frames + 1):
        block, group = Dataset(), Dataset()
        _add(block, 0x0021, 0x11, "SIEMENS MR SDI 02", {
            0x01: ("LO", f"IMG_{number}_{uid}"),
            0x06: ("LO", f"X_1_1_1_1_1_{number}_{siemens_uid(day, 10 + number)}"),
        })  # fmt: skip
        _add(group, 0x0021, 0x11, "SIEMENS MR SDI 02", {0xFE: ("SQ", Sequence([block]))})
        content = Dataset()
        content.FrameAcquisitionDateTime = f"{day}0812{number:02}"
        content.FrameReferenceDateTime = f"{day}0812{number:02}.5"
        group.FrameContentSequence = Sequence([content])
        per_frame.append(group)
    data_set.SharedFunctionalGroupsSequence = Sequence([shared])
    data_set.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    data_set.NumberOfFrames = str(frames)
    return Planted(data_set, [uid, siemens_uid(day, 11), day, person.name, f".{SERIAL}."])


def ge(data_set: Dataset, person: Person) -> Planted:
    """GE MR: the original study, station and dates in half a dozen places."""
    study, station = str(data_set.StudyInstanceUID), person.station
    day = datetime.strptime(str(data_set.StudyDate), "%Y%m%d").replace(tzinfo=UTC)
    calibration = f"1.2.840.113619.2.374.{SERIAL}.{day:%Y%m%d}.998"
    seconds = int(day.timestamp()) + 29565
    text = f'set PATIENT "{person.name}"\nset STUDYID "{person.study_id}"\nset SEDESC "AX T1"\n'
    packed = gzip.compress(text.encode("latin-1"), mtime=0)
    block = struct.pack("<I", len(packed)) + packed
    _add(data_set, 0x0009, 0x10, "GEMS_IDEN_01", {
        0x01: ("LO", "GE_GENESIS_FF"), 0x02: ("SH", station), 0x04: ("SH", "SIGNA"),
        0x27: ("SL", seconds), 0xE3: ("UI", calibration), 0xE9: ("SL", seconds),
    })  # fmt: skip
    _add(data_set, 0x0011, 0x10, "GEMS_PATI_01", {0x10: ("SS", 0)})
    _add(data_set, 0x0025, 0x10, "GEMS_SERS_01", {
        0x07: ("SL", 20), 0x1A: ("SH", station), 0x1B: ("OB", block + bytes(len(block) % 2)),
    })  # fmt: skip
    _add(data_set, 0x0043, 0x10, "GEMS_PARM_01", {
        0x28: ("OB", f"UNIQ{person.study_id}".encode().ljust(16, b"\0")),
        0x39: ("IS", ["1000", "8", "0", "0"]), 0x61: ("UI", study),
        0x62: ("SH", person.study_id), 0x88: ("UI", calibration), 0x98: ("UI", calibration),
    })  # fmt: skip
    return Planted(data_set, [study, station, calibration, person.study_id, person.name])


def philips(data_set: Dataset, person: Person) -> Planted:
    """Philips MR and PET: UIDs of the scanner's database, a person, a file named after one."""
    day, uid = str(data_set.StudyDate), f"1.3.46.670589.11.{SERIAL}.5.0.1234.{data_set.StudyDate}"
    inner = Dataset()
    _add(inner, 0x2005, 0x14, "Philips MR Imaging DD 005", {0x36: ("UI", uid)})
    file_name = f"{person.name.replace('^', '_')}_{day}.img"
    _add(data_set, 0x2001, 0x10, "Philips Imaging DD 001", {
        0x03: ("FL", 1000.0), 0x04: ("CS", "O"), 0x52: ("UI", uid),
    })  # fmt: skip
    _add(data_set, 0x2005, 0x13, "Philips MR Imaging DD 004", {
        0x91: ("PN", person.operator), 0x95: ("UI", uid),
    })  # fmt: skip
    _add(data_set, 0x2005, 0x14, "Philips MR Imaging DD 005", {0x0F: ("SQ", Sequence([inner]))})
    _add(data_set, 0x200B, 0x10, "Philips RAD Imaging DD 001", {
        0x00: ("PN", person.referring_physician), 0x2B: ("DA", day),
    })  # fmt: skip
    _add(data_set, 0x7053, 0x10, "Philips PET Private Group", {
        0x00: ("DS", "1.25"), 0x03: ("ST", file_name),
    })  # fmt: skip
    return Planted(
        data_set, [uid, day, file_name, person.operator, person.referring_physician, person.name]
    )


def uih(data_set: Dataset, person: Person) -> Planted:
    """United Imaging MR: diffusion, and a UID as text."""
    day = str(data_set.StudyDate)
    uid = f"1.2.156.112605.{SERIAL}.{day}001122.3.7016.1"
    _add(data_set, 0x0065, 0x10, "Image Private Header", {
        0x09: ("FD", 1000.0), 0x0A: ("LO", uid), 0x37: ("FD", [0.0, 0.6, 0.8]),
        0x50: ("DS", "32"), 0x20: ("LT", f"{person.name} {day[6:]}.{day[4:6]}.{day[:4]}"),
    })  # fmt: skip
    return Planted(data_set, [uid, person.name, f"{day[6:]}.{day[4:6]}.{day[:4]}"])


def canon(data_set: Dataset, person: Person) -> Planted:
    """Toshiba and Canon: quality assurance, a volume's UID, a data set written backwards."""
    day, uid = str(data_set.StudyDate), f"1.2.392.200036.9116.2.6.1.{SERIAL}.{data_set.StudyDate}.7"
    _add(data_set, 0x7005, 0x10, "TOSHIBA_MEC_CT3", {
        0x08: ("DS", "0.5"), 0x11: ("LT", f"ref. {person.patient_id}"), 0x16: ("UI", uid),
        0x24: ("DA", day), 0x29: ("UI", f"{uid}.1"),
    })  # fmt: skip
    _add(data_set, 0x7019, 0x10, "TOSHIBA_MEC_OT3", {
        0x73: ("PN", person.operator), 0x74: ("DA", day), 0x76: ("LO", person.station),
        0x7C: ("UI", str(data_set.StudyInstanceUID)), 0x85: ("LO", person.patient_id),
    })  # fmt: skip
    backwards = f"{person.name}\\{person.patient_id}"[::-1].encode("latin-1")
    _add(data_set, 0x0029, 0x10, "CANON_MEC_MR3", {
        0x90: ("OB", backwards + bytes(len(backwards) % 2)),
    })  # fmt: skip
    return Planted(data_set, [uid, day, person.operator, person.station, person.patient_id,
                              person.patient_id[::-1]])  # fmt: skip


def fuji(data_set: Dataset, person: Person) -> Planted:
    """Fuji computed radiography: hospital, department and radiographer."""
    _add(data_set, 0x0009, 0x10, "FDMS 1.0", {
        0x05: ("OW", b"\x01\x02\x03\x04"), 0x80: ("LO", person.institution), 0x92: ("SH", "Rtg 2"),
    })  # fmt: skip
    _add(data_set, 0x0019, 0x10, "FDMS 1.0", {0x50: ("CS", "AUTO"), 0x60: ("SH", "RAD-77")})
    return Planted(data_set, [person.institution, "Rtg 2", "RAD-77"])


def agfa(data_set: Dataset, person: Person) -> Planted:
    """Agfa and Mitra: the archive's copies of names, the original study's UID."""
    study = str(data_set.StudyInstanceUID)
    _add(data_set, 0x0019, 0x10, "AGFA_ADC_Compact", {0x62: ("SH", person.station)})
    _add(data_set, 0x0031, 0x10, "MITRA LINKED ATTRIBUTES 1.0", {
        0x20: ("LO", f"GLOBAL{person.patient_id}"),
    })  # fmt: skip
    _add(data_set, 0x0033, 0x10, "MITRA OBJECT UTF8 ATTRIBUTES 1.0", {
        0x02: ("PN", person.name), 0x06: ("PN", person.referring_physician),
        0x13: ("PN", person.name),
    })  # fmt: skip
    _add(data_set, 0x7FDD, 0x10, "agfa/originalStudyUID", {0x13: ("UN", study.encode())})
    return Planted(
        data_set, [study, person.station, person.patient_id, person.name,
                   person.referring_physician]
    )  # fmt: skip


def sectra(data_set: Dataset, person: Person) -> Planted:
    """Sectra's archive: request and examination numbers."""
    _add(data_set, 0x0009, 0x10, "SECTRA_Ident_01", {
        0x01: ("LO", person.accession_number), 0x02: ("LO", "E-000-4711"), 0x05: ("LO", "2"),
    })  # fmt: skip
    return Planted(data_set, [person.accession_number, "E-000-4711"])


def siemens_uid(day: str, number: int) -> str:
    """A UID as Siemens scanners make them: of the serial number and the time."""
    return f"1.3.12.2.1107.5.2.19.{SERIAL}.{day}0812451234500{number:03}"


def _add(
    data_set: Dataset, group: int, block: int, creator: str,
    elements: dict[int, tuple[str, object]],
) -> None:  # fmt: skip
    data_set[(group, block)] = DataElement((group, block), "LO", creator)
    for low, (vr, value) in elements.items():
        tag = (group, block << 8 | low)
        data_set[tag] = DataElement(tag, vr, value)
