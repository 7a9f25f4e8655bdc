"""The facts of a series as its first image states them, under the names of the earlier system.

A fact is a short text, several values joined by backslashes as DICOM joins them; what is a list in
the earlier system's series JSON is one here. What is missing, too long or not what it ought to be
is left out: bad input makes no fact, and no exception.
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

from shared.csa import NotCsaError, csa_values
from shared.errors import Reject
from shared.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE, Header
from shared.spool import Association, disk_trouble
from shared.walk import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Element, InMemory, Walk

Facts = dict[str, Any]
"""Texts, and lists of numbers or of dictionaries: what JSON can hold."""


def _standard(names: str, **renamed: str) -> dict[str, tuple[int, str]]:
    """Tag and VR of each keyword."""
    keywords = {name: name for name in names.split()} | renamed
    tags = {name: tag_for_keyword(keyword) for name, keyword in keywords.items()}
    return {name: (tag, dictionary_VR(tag)) for name, tag in tags.items() if tag is not None}


STANDARD = _standard(
    """
    StudyInstanceUID StudyID StudyDate StudyTime StudyDescription AccessionNumber
    PatientID PatientName PatientSex
    SeriesInstanceUID SeriesNumber SeriesTime SeriesDescription ProtocolName BodyPartExamined
    SOPClassUID InstanceNumber Modality ImageType OperatorsName BurnedInAnnotation
    InstitutionName StationName Manufacturer ManufacturerModelName MagneticFieldStrength
    Rows Columns NumberOfFrames PixelSpacing SliceThickness SpacingBetweenSlices SliceLocation
    ImageOrientationPatient ImagePositionPatient AcquisitionMatrix
    MRAcquisitionType SequenceName ScanOptions ScanningSequence SequenceVariant
    EchoTime RepetitionTime InversionTime FlipAngle AcquisitionDate AcquisitionTime
    ContrastBolusAgent DiffusionBValue ImagesInAcquisition NumberOfTemporalPositions
    """,
    SoftwareVersion="SoftwareVersions",
    SliceSpacing="SpacingBetweenSlices",
)
"""The standard elements that are facts."""

OF_FRAMES = _standard(
    """
    PixelSpacing SliceThickness SpacingBetweenSlices ImageOrientationPatient ImagePositionPatient
    RepetitionTime FlipAngle DiffusionBValue
    """,
    SliceSpacing="SpacingBetweenSlices",
    EchoTime="EffectiveEchoTime",
    InversionTime="InversionTimes",
)
"""The same where an enhanced object has them: in its functional groups (PS3.3 C.7.6.16)."""
_FUNCTIONAL_GROUPS = 0x52009230, 0x52009229  # of the first frame; of all, which are the better ones


class Private(NamedTuple):
    """A private element: its block is wherever the creator reserved one (PS3.5 section 7.8)."""

    group: int
    creator: str
    element: int
    vr: str


_SLOP = Private(0x0043, "GEMS_PARM_01", 0x39, "IS")

PRIVATE: dict[str, Private] = {
    "AcquisitionLength": Private(0x0051, "SIEMENS MR HEADER", 0x0A, "LO"),
    "ActiveCoils": Private(0x0051, "SIEMENS MR HEADER", 0x0F, "LO"),
    "PulseSequenceName": Private(0x0019, "GEMS_ACQU_01", 0x9C, "LO"),
    "Private0019_105a": Private(0x0019, "GEMS_ACQU_01", 0x5A, "FL"),
    "Private0019_10BB": Private(0x0019, "GEMS_ACQU_01", 0xBB, "DS"),
    "Private0043_1039": _SLOP,
    "SequenceType": Private(0x2001, "Philips Imaging DD 001", 0x20, "LO"),
    "Slices": Private(0x0021, "GEMS_RELA_01", 0x4F, "SS"),
}
"""The private elements of the earlier system, under its names."""

_B_VALUES = (
    Private(0x0019, "SIEMENS MR HEADER", 0x0C, "IS"),
    Private(0x2001, "Philips Imaging DD 001", 0x03, "FL"),
    Private(0x0065, "Image Private Header", 0x09, "FD"),  # United Imaging
)
_GE_SURPLUS = 100_000  # GE adds 1e9 to b-values of some acquisitions

_CSA_CREATORS = ("SIEMENS CSA HEADER", "SIEMENS CSA NON-IMAGE")
_CSA_IMAGE, _CSA_SERIES = 0x10, 0x20
_PROTOCOLS = ("MrPhoenixProtocol", "MrProtocol")
_PROTOCOL_LINES = {
    "MeasID": re.compile(r'\n[A-Za-z0-9_.]*SequenceID[ \t]*=[ \t]*"*([^"\r\n]+)'),
    "siemensUUID": re.compile(r'\nsWi[pP]MemBlock\.tFree[ \t]*=[ \t]*"*([^"\r\n]+)'),
    "NumSlices": re.compile(r"\nsGroupArray\.asGroup\[0\]\.nSize[ \t]*=[ \t]*([0-9]+)"),
}
_DIFFUSION = ("B_value", "DiffusionDirectionality", "DiffusionGradientDirection", "B_matrix")
_INSTANCE = _standard("SOPInstanceUID InstanceNumber")
_CSA_FACTS = {
    "NumSlices": "NumberOfImagesInMosaic",
    "PhaseEncodingDirectionPositive": "PhaseEncodingDirectionPositive",
}

_LONGEST = 256  # characters; a fact is a short thing, and private elements can be anything
_MOST_BYTES = 1 << 20  # of a CSA header, or of functional groups
_MOST_DEPTH = 4
_MOST_VALUES = 16
_BINARY = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
_ANYTHING = frozenset({"", "UN", "OB", "OW"})  # "" is implicit VR
_LIMIT = {"IS": 1 << 31}
_NUMBERS = frozenset({"DS", "IS", *_BINARY})
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI",
                    "UR", "UT"})  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DIGITS = re.compile(rb"[0-9eE+.\\ -]+\0?")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def series_facts(header: Header, path: Path) -> Facts:
    """The facts of the series to which the image in the file `path` belongs.

    Raises
    ------
    Retry
        The file can't be read.
    """
    image = _Image(header, path)
    facts: Facts = image.facts_of_frames() | _standard_facts(header, STANDARD)
    for name, place in PRIVATE.items():
        if values := image.private(place):
            facts[name] = [*map(_whole, values)] if place is _SLOP else _joined(values)
    own, series = image.csa(_CSA_IMAGE), image.csa(_CSA_SERIES)
    facts |= _protocol_facts(series) | _csa_facts(own, header)
    if "DiffusionBValue" not in facts and (b_value := _b_value(image, own, facts)):
        facts["DiffusionBValue"] = b_value
    return facts


def incoming_connection(sender: Association) -> Facts:
    """Who brought the first image."""
    return {
        "IncomingConnection": {
            "AETitleCaller": sender.calling_aet,
            "AETitleCalled": sender.called_aet,
            "CallerIP": sender.peer_address,
        }
    }


class _Image:
    """An image's private elements, and its values that are longer than its header carries."""

    def __init__(self, header: Header, path: Path) -> None:
        self._header, self._path = header, path
        self._blocks = {
            (tag >> 16, header.text(tag)): tag & 0xFF
            for tag in header.tags
            if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
        }

    def private(self, place: Private) -> list[str]:
        """The values of a private element."""
        return _values(self._header, self._tag(place.group, place.creator, place.element), place.vr)

    def csa(self, element: int) -> dict[str, list[str]]:
        """The values of a CSA header; none where there is no such header, or a broken one."""
        for creator in _CSA_CREATORS:
            try:
                return csa_values(self._long(self._tag(0x0029, creator, element)))
            except NotCsaError:
                continue
        return {}

    def facts_of_frames(self) -> Facts:
        """What an enhanced object's first frame has, and what all its frames have in common."""
        facts: Facts = {}
        for tag in _FUNCTIONAL_GROUPS:
            if groups := self._long(tag):
                facts |= _standard_facts(_first_item(groups, self._header), OF_FRAMES)
        return facts

    def _tag(self, group: int, creator: str, element: int) -> int:
        """0, which no element has, where the creator has no block."""
        block = self._blocks.get((group, creator))
        return group << 16 | block << 8 | element if block else 0

    def _long(self, tag: int) -> bytes:
        """A value's first MiB, read from the file where the header does not carry it."""
        raw = self._header.raw(tag)
        if raw is not None or tag not in self._header:
            return raw or b""
        if self._header.transfer_syntax in DEFLATED:
            return b""  # what is known is where the value stands in the inflated data
        _, offset, length = self._header.element(tag)
        with disk_trouble(), self._path.open("rb") as file:
            file.seek(offset)
            return file.read(min(length, _MOST_BYTES))


def _standard_facts(header: Header, elements: dict[str, tuple[int, str]]) -> Facts:
    found = {name: _values(header, tag, vr) for name, (tag, vr) in elements.items()}
    return {name: _joined(values) for name, values in found.items() if values}


def _joined(values: Sequence[str]) -> str:
    return "\\".join(values)[:_LONGEST]


def _values(header: Header, tag: int, vr: str) -> list[str]:
    """The values of an element that ought to have the VR `vr`; none if it has something else."""
    raw = header.raw(tag)
    if not raw:
        return []
    stated = header.element(tag)[0].decode("ascii")
    is_text = len(raw) > 2 and _DIGITS.fullmatch(raw)
    if vr in _BINARY and stated in _ANYTHING and not is_text:
        values = _unpacked(raw, _BINARY[vr], header.transfer_syntax)
    else:
        values = header.texts(tag)
    if vr in _NUMBERS:
        return values if _are_numbers(values, _LIMIT.get(vr, math.inf)) else []
    if (stated or vr) not in _TEXTS and _CONTROL.search("".join(values)):
        return []  # bytes of whatever kind
    values = [_short(value.partition("\0")[0]) for value in values]
    return values if any(values) else []


def _unpacked(raw: bytes, code: str, transfer_syntax: str) -> list[str]:
    order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
    count, rest = divmod(len(raw), struct.calcsize(order + code))
    return [] if rest else [str(number) for number in struct.unpack(f"{order}{count}{code}", raw)]


def _are_numbers(values: list[str], limit: float) -> bool:
    return sum(map(len, values)) <= _LONGEST and all(
        _NUMBER.fullmatch(value) and abs(float(value)) < limit for value in values
    )


def _whole(number: str) -> int:
    return int(float(number))


def _first_item(groups: bytes, header: Header) -> Header:
    """The elements of a sequence's first item and of the first items of the sequences in it."""
    window = InMemory(groups)
    syntax = header.transfer_syntax
    walk = Walk(window, implicit=syntax == IMPLICIT_LITTLE, big_endian=syntax == EXPLICIT_BIG)
    elements: dict[int, Element] = {}
    values: dict[int, bytes] = {}
    try:
        for tag, element in _leaves(walk, 0, window.size, 0):
            _, offset, length = element
            if tag not in elements:
                elements[tag], values[tag] = element, window.bytes(offset, min(length, _LONGEST))
    except Reject:
        pass  # only the first MiB was read, and it ends somewhere
    return Header(syntax, 0, elements, values)


def _leaves(walk: Walk, position: int, end: int, depth: int) -> Iterator[tuple[int, Element]]:
    """The elements of the first item at `position`, nested ones instead of their sequences."""
    if depth > _MOST_DEPTH or position >= end:
        return
    tag, (_, position, length) = walk.element(position)
    if tag != ITEM:
        return
    if length != UNDEFINED:
        end = min(end, position + length)
    while position < end:
        tag, element = walk.element(position)
        if tag in (ITEM_END, SEQUENCE_END):
            return
        vr, offset, _ = element
        if vr == b"SQ" or (walk.implicit and offset < end and walk.element(offset)[0] == ITEM):
            yield from _leaves(walk, offset, end, depth + 1)
        else:
            yield tag, element
        position = walk.past_value(element)


def _b_value(image: _Image, own: dict[str, list[str]], facts: Facts) -> str | None:
    """The b-value that the vendor put into an element of its own."""
    for place in _B_VALUES:
        if values := image.private(place):
            return values[0]
    # GE uses its element for other things too, but diffusion is always echo planar.
    slop = facts.get("Private0043_1039")
    if slop and "EP" in facts.get("ScanningSequence", "").split("\\"):
        return str(slop[0] % _GE_SURPLUS)
    return _several(own, "B_value")[0] if "B_value" in own else None


def _csa_facts(own: dict[str, list[str]], header: Header) -> Facts:
    """What a CSA image header says."""
    if not own:
        return {}
    diffusion: Facts = {}
    if "DiffusionDirectionality" in own:
        diffusion = {name: _several(own, name) for name in _DIFFUSION if name in own}
        diffusion = {name: one if len(one) > 1 else one[0] for name, one in diffusion.items()}
        diffusion |= _standard_facts(header, _INSTANCE)
    found: Facts = {"siemensDiffusionInformation": [diffusion] if diffusion else []}
    for name, tag in _CSA_FACTS.items():
        if tag in own:
            found[name] = _several(own, tag)[0]
    if times := own.get("MosaicRefAcqTimes"):
        found["SliceTimingCount"] = str(len(times))
    return found


def _protocol_facts(series: dict[str, list[str]]) -> Facts:
    """What the measurement protocol in a CSA series header says."""
    protocol = next((series[name][0] for name in _PROTOCOLS if name in series), "")
    found = {name: line.search(protocol) for name, line in _PROTOCOL_LINES.items()}
    return {name: _short(match[1]) for name, match in found.items() if match}


def _several(csa: dict[str, list[str]], name: str) -> list[str]:
    return [_short(value) for value in csa[name][:_MOST_VALUES]]


def _short(text: str) -> str:
    return _CONTROL.sub("", text)[:_LONGEST].strip()
