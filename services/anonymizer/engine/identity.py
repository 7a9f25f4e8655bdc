"""An object's own identifiers: which elements hold them, and what is looked for because of them.

The table names some 270 elements; vendors copy names, ids and UIDs into many more. So the values of
the identifying elements are collected first, at every depth, and looked for in everything that is
kept.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib.resources import files

from pydicom.datadict import tag_for_keyword

from services.anonymizer.engine.tokens import is_uid_like
from shared.errors import Reason, Reject

_NAMES = ("PatientName", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName",
          "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "RequestingPhysician",
          "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
          "ResponsiblePerson")  # fmt: skip
_IDS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "PatientBirthDate", "AdmissionID",
        "MedicalRecordLocator", "PatientAddress", "PatientTelephoneNumbers", "InstitutionName",
        "InstitutionAddress", "StationName", "InstitutionalDepartmentName", "StudyID",
        "RequestedProcedureID", "FillerOrderNumberImagingServiceRequest",
        "PlacerOrderNumberImagingServiceRequest")  # fmt: skip
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_SHORTEST_NAME, _SHORTEST_IDEOGRAPHIC, _SHORTEST_ID, _SHORTEST_NUMBER = 3, 2, 4, 5
"""Characters. Shorter ones stand in descriptions, and as numbers in parameters, by chance."""
_IDEOGRAPHIC = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_BETWEEN_NAMES = re.compile(r"[\s^,;:.()\[\]/|*&+\"_]+")
_MOST = 200
"""More identifiers than any object has; searching for thousands would take for ever."""


def is_unspaced(word: str) -> bool:
    """Whether a word is written without blanks around it, as in Chinese, Japanese and Korean."""
    return _IDEOGRAPHIC.search(word) is not None


class Kind(Enum):
    """What an element tells about a person, an institution or an object."""

    NAME = "name"
    ID = "id"
    UID = "uid"
    DATE = "date"


def _by_tag() -> dict[int, Kind]:
    found = {}
    for kind, keywords in ((Kind.NAME, _NAMES), (Kind.ID, _IDS), (Kind.UID, _UIDS)):
        for keyword in keywords:
            tag = tag_for_keyword(keyword)
            assert tag is not None
            found[int(tag)] = kind
    return found


_BY_TAG = _by_tag()
_BY_VR = {"AE": Kind.ID, "DA": Kind.DATE, "DT": Kind.DATE}
AE_TITLES_IN_META = frozenset({0x00020016, 0x00020017, 0x00020018})
"""Of the source, the sender and the receiver (PS3.10 table 7.1-1)."""


def kind_of(tag: int, vr: str) -> Kind | None:
    """What the value of an element identifies; None when it identifies nothing."""
    if vr == "SQ":
        return None
    if vr == "PN":
        return Kind.NAME  # also those that the table does not name
    return _BY_TAG.get(tag) or _BY_VR.get(vr)


@dataclass(frozen=True)
class Collected:
    """What was collected of one object; equal for objects that identify themselves alike."""

    words: frozenset[str]
    """Names, their parts, ids and other words."""
    uids: frozenset[str]
    """Those that do not look like one."""
    dates: frozenset[str]
    """As DA has them."""
    encodings: frozenset[str]
    """The Python codecs of the object's character sets."""


class Collector:
    """Collects the identifiers of one object, value by value.

    Parameters
    ----------
    pseudonym
        The participant's id: no secret, even where the object carries it already.
    """

    def __init__(self, pseudonym: str) -> None:
        self._pseudonym = pseudonym.casefold()
        self._words: set[str] = set()
        self._uids: set[str] = set()
        self._dates: set[str] = set()
        self._encodings: set[str] = {"utf-8", "latin-1"}

    def add(self, kind: Kind, texts: Iterable[str]) -> None:
        """Take in the values of one element."""
        for text in filter(None, texts):
            if kind is Kind.NAME:
                for group in text.split("="):
                    self._add_name(group)
            elif kind is Kind.ID:
                self._add_words([text], _SHORTEST_NUMBER if text.isdigit() else _SHORTEST_ID)
                self._words.update(_as_written(text))
            elif kind is Kind.UID:
                if not is_uid_like(text):  # those are found by their looks
                    self._uids.add(text)
            else:
                self._add_date(text)

    def add_encodings(self, encodings: Iterable[str]) -> None:
        """Take in the codecs of a data set."""
        self._encodings.update(encodings)

    def collected(self) -> Collected:
        """Everything.

        Raises
        ------
        Reject
            There is more of it than any real object has.
        """
        if len(self._words) + len(self._uids) > _MOST:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, f"more than {_MOST} identifiers")
        return Collected(*map(frozenset, (self._words, self._uids, self._dates, self._encodings)))

    def _add_name(self, group: str) -> None:
        """Take in one component group of a name (PS3.5 6.2.1)."""
        parts = _BETWEEN_NAMES.split(group)
        if _IDEOGRAPHIC.search(group):
            self._add_words([*parts, "".join(parts)], _SHORTEST_IDEOGRAPHIC)
        else:
            for part in parts:
                self._add_words([part, *part.split("-")], _SHORTEST_NAME)

    def _add_words(self, words: Iterable[str], shortest: int) -> None:
        for word in words:
            plain = word.casefold()
            if len(word) >= shortest and plain != self._pseudonym and plain not in _harmless():
                self._words.add(word)

    def _add_date(self, text: str) -> None:
        plain = text[:10].replace(".", "") if "." in text[:10] else text
        if len(plain) >= 8 and plain[:8].isascii() and plain[:8].isdigit():
            self._dates.add(plain[:8])


def _as_written(text: str) -> Iterator[str]:
    """A date, of birth above all, as people write it."""
    try:
        day = datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 a day, no moment
    except ValueError:
        return
    year, month, number = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    for mark in "-./ ":
        yield mark.join((year, month, number))
        yield mark.join((number, month, year))
        yield mark.join((number, day.strftime("%b"), year))


_HARMLESS: set[str] = set()


def _harmless() -> set[str]:
    """Words that stand in names and descriptions alike and give nobody away."""
    if not _HARMLESS:
        text = files(__package__).joinpath("harmless.txt").read_text(encoding="utf-8")
        lines = (line.partition("#")[0] for line in text.splitlines())
        _HARMLESS.update(word.casefold() for line in lines for word in line.split())
    return _HARMLESS
