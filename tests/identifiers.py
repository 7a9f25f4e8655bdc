"""Collects what a file gives away, for `tests.leaks`."""

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag

from tests.rawreading import Element, Raw
from tests.spellings import Spelling, packed, spellings_of, spellings_of_date


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHORTEST_NAME, SHORTEST_ID, SHORTEST_NUMBER, SHORTEST_UID = 3, 4, 6, 12
HARMLESS = _words(
    """ct mr us cr dx nm pt xa rf mg ot sr ko pr rt sc dicom test tests patient anonymous anonymized
    anon unknown none null name study series image images phantom hospital sykehus klinikk clinic
    department radiology dept head chest abdomen the and for other first last middle doctor siemens
    philips toshiba canon agfa fuji fujifilm sectra original primary default basic version value
    yes mrs miss prof med jpeg rle lossless lossy"""
)
"""Modalities, makers and other words, in lower case, that name no person and no place."""
_NO_DATES = frozenset({"00010101", "18000101", "19000101", "19700101", "99991231"})
"""Dates that writers put where they know none."""


class Kind(StrEnum):
    """What a secret is."""

    NAME = "a person's name"
    ID = "an id"
    BIRTH_DATE = "the birth date"
    ADDRESS = "an address"
    PHONE = "a telephone number"
    INSTITUTION = "an institution or station"
    AE = "an AE title"
    UID = "a UID"
    DATE = "a date"
    EPOCH = "a date in seconds since 1970"
    UNREADABLE = "elements that can't be read"


# Keywords of PS3.6. Persons' names are known by their VR.
_KEYWORDS = {
    Kind.ID: """PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID MedicalRecordLocator
        RequestedProcedureID PerformedProcedureStepID
        FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
        InsurancePlanIdentification ServiceEpisodeID InterpretationID ResultsID""",
    Kind.BIRTH_DATE: "PatientBirthDate PatientBirthDateInAlternativeCalendar",
    Kind.ADDRESS: """PatientAddress InstitutionAddress ReferringPhysicianAddress PersonAddress
        OrderCallbackTelecomInformation PatientTelecomInformation DistributionAddress""",
    Kind.PHONE: """PatientTelephoneNumbers ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers
        OrderCallbackPhoneNumber""",
    Kind.INSTITUTION: """InstitutionName StationName InstitutionalDepartmentName
        RequestingService PerformedLocation""",
    Kind.AE: """RetrieveAETitle SourceApplicationEntityTitle SendingApplicationEntityTitle
        ReceivingApplicationEntityTitle""",
}
_KINDS = {word: kind for kind, words in _KEYWORDS.items() for word in words.split()}
_KEPT_DEVICES = _words(
    """ScheduledStationAETitle PerformedStationAETitle ScheduledStudyLocationAETitle
    ScheduledStationName PerformedStationName DeviceUID"""
)
"""Devices' identities, which the source's table keeps; a value of these alone is no secret."""
_CLASS_UID = re.compile(
    "SOPClass|TransferSyntax|CodingSchemeUID|ContextUID|MappingResourceUID|ClassUID$"
)
_VERSIONS = _words(
    """ContextGroupVersion ContextGroupLocalVersion DateOfManufacture DateOfInstallation
    EffectiveDateTime"""
)
"""Dates of code lists and of devices, which tell nothing about an examination."""
_UID_IN_TEXT = re.compile(rb"[0-2](?:\.[0-9]+){5,}")
_UID_IN_WIDE = re.compile(rb"[0-2]\0(?:\.\0(?:[0-9]\0)+){5,}")
_LONG_UID = 24


@dataclass(frozen=True)
class Secret:
    """Something that must not be found."""

    kind: Kind
    text: str
    spellings: tuple[Spelling, ...]
    """None: it is too short to search for."""
    origins: tuple[tuple[str, bytes], ...]
    """Paths where nothing else stood, and the values there."""

    @property
    def masked(self) -> str:
        return f"{self.text[:1]}*** ({len(self.text)} characters)"


def collect(raw: Raw, shift_days: int, granted: Collection[str]) -> list[Secret]:
    """Every secret of a file, each once."""
    found = _Collection(raw, {word.casefold() for word in granted})
    for element in raw.elements:
        found.take(element)
    return [*found.secrets(), *found.dates(shift_days)]


class _Collection:
    def __init__(self, raw: Raw, granted: set[str]) -> None:
        self._raw, self._granted = raw, granted
        self._encodings = _encodings(raw)
        self._found: dict[tuple[Kind, str], dict[bytes, None]] = {}
        self._origins: dict[tuple[Kind, str], list[tuple[str, bytes]]] = {}
        self._innocent: set[str] = set()
        self._days: dict[str, None] = {}

    def take(self, element: Element) -> None:
        value = self._raw.value(element)
        keyword, vr = keyword_for_tag(element.tag), vr_of(element)
        kind = Kind.NAME if vr == "PN" else _KINDS.get(keyword)
        if keyword in _KEPT_DEVICES or (vr == "UI" and _CLASS_UID.search(keyword)):
            self._innocent.update(_texts(value, ["latin-1"]))
        elif kind is not None and vr != "SQ":
            self._take_identifier(kind, element, value)
        elif vr == "UI":
            for uid in _texts(value, ["latin-1"]):
                self._add(Kind.UID, uid, b"", (element.path, value.strip(b" \0")))
        elif vr in ("DA", "DT") and keyword not in _VERSIONS:
            self._days |= dict.fromkeys(_days(value))
        elif element.tag >> 16 & 1:
            self._take_private(value)

    def _take_identifier(self, kind: Kind, element: Element, value: bytes) -> None:
        origin = (element.path, value.strip(b" \0"))
        for text in _texts(value, self._encodings):
            self._add(kind, text, b"", origin)
            if kind is Kind.NAME:
                for part in _parts_of_name(text):
                    self._add(kind, part, b"")
            elif kind is Kind.PHONE:
                self._add(kind, re.sub(r"[^0-9]", "", text), b"")
        if kind is Kind.NAME and not value.isascii():
            for part in re.split(rb"[\^=\\]+", value.strip(b" \0")):
                if len(part) > SHORTEST_NAME:
                    self._add(kind, part.decode("latin-1"), part)

    def _take_private(self, value: bytes) -> None:
        """UIDs that stand in the middle of private values."""
        for match in _UID_IN_TEXT.findall(value):
            self._add_private_uid(match)
        for match in _UID_IN_WIDE.findall(value):
            self._add_private_uid(match[::2])

    def _add_private_uid(self, uid: bytes) -> None:
        if _LONG_UID <= len(uid) <= 64:
            self._add(Kind.UID, uid.decode(), b"")

    def _add(self, kind: Kind, text: str, as_written: bytes,
             origin: tuple[str, bytes] | None = None) -> None:  # fmt: skip
        text = text.strip()
        if not text or text.casefold() in self._granted:
            return
        written = self._found.setdefault((kind, text), {})
        if as_written:
            written[as_written] = None
        if origin is not None and origin[1]:
            self._origins.setdefault((kind, text), []).append(origin)

    def secrets(self) -> Iterator[Secret]:
        for (kind, text), written in self._found.items():
            registered = kind is Kind.UID and text.startswith("1.2.840.10008.")
            if registered or (text in self._innocent and kind in (Kind.UID, Kind.AE)):
                continue
            spellings: set[Spelling] = set()
            if _is_telling(kind, text):
                spellings = spellings_of(text, self._encodings)
                spellings |= {Spelling(raw.lower()) for raw in written}
                if kind is Kind.UID and re.fullmatch("[0-9.]+", text):
                    spellings.add(packed(text))
            origins = tuple(self._origins.get((kind, text), ()))
            if spellings or origins:
                yield Secret(kind, text, tuple(sorted(spellings)), origins)

    def dates(self, shift_days: int) -> Iterator[Secret]:
        """The days of the examination, in the spellings and numbers that writers use."""
        births = [text for kind, text in self._found if kind is Kind.BIRTH_DATE]
        explained = {_moved(day, shift_days) for day in self._days}
        for kind, days in ((Kind.BIRTH_DATE, births), (Kind.DATE, self._days)):
            for day in days:
                at = _date(day)
                if at is None or day in _NO_DATES or day in self._granted:
                    continue
                if kind is Kind.DATE and shift_days == 0:
                    continue
                if day not in explained or shift_days == 0:
                    yield Secret(kind, day, spellings_of_date(at), ())


def _is_telling(kind: Kind, text: str) -> bool:
    """Whether a text can be looked for without finding it everywhere."""
    if kind is Kind.BIRTH_DATE:
        return False  # spelled as a date
    if kind is Kind.UID:
        return len(text) >= SHORTEST_UID
    if text.casefold() in HARMLESS or not re.search(r"\w", text):
        return False
    if re.fullmatch(r"[0-9.,+ -]+", text):
        return sum(map(str.isdigit, text)) >= SHORTEST_NUMBER and set(text) - {"0"} != set()
    if kind is not Kind.NAME:
        return len(text) >= SHORTEST_ID
    # Two ideographs are a whole family name.
    return len(text) >= (2 if text[0] > "\u2e80" else SHORTEST_NAME)


def _texts(value: bytes, encodings: list[str]) -> list[str]:
    """The values of an element that holds text."""
    try:
        text = decode_bytes(value, encodings, {"^", "=", "\\"})
    except (LookupError, UnicodeError):
        text = value.decode("latin-1")
    return [one.strip(" \0") for one in text.split("\\") if one.strip(" \0")]


def _parts_of_name(name: str) -> Iterator[str]:
    """A name's three forms, each whole, with a blank, and its words (PS3.5 6.2.1)."""
    for form in name.split("="):
        yield from (form, " ".join(form.split("^")[:2]))
        for part in re.split(r"[\^,\s]+", form):
            yield from (part, *part.split("-"))


def _encodings(raw: Raw) -> list[str]:
    names = [
        name
        for element in raw.elements
        if element.tag == 0x00080005
        for name in raw.value(element).decode("latin-1").strip(" \0").split("\\")
    ]
    try:
        return list(dict.fromkeys(convert_encodings(names))) if names else ["latin-1"]
    except LookupError:
        return ["latin-1"]


def vr_of(element: Element) -> str:
    if element.vr not in ("", "UN"):
        return element.vr
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return ""


def _days(value: bytes) -> Iterator[str]:
    for parts in re.findall(rb"(?:^|[\\ -])([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})", value):
        yield b"".join(parts).decode()


def _date(day: str) -> datetime | None:
    try:
        return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _moved(day: str, days: int) -> str:
    at = _date(day)
    try:
        return f"{at + timedelta(days=days):%Y%m%d}" if at else day
    except OverflowError:
        return day


def epochs(raw: Raw, days: Collection[str]) -> Iterator[str]:
    """Paths of the private values of four bytes that are a second of one of `days`."""
    for element in raw.elements:
        if element.tag >> 16 & 1 and element.stop - element.start == 4:
            (second,) = struct.unpack("<L", raw.value(element))
            if f"{datetime.fromtimestamp(second, UTC):%Y%m%d}" in days:
                yield element.path
