"""The identity sweep: an object's own identifiers, wherever else they stand in it.

The table names some 270 elements; vendors copy names, ids and UIDs into many more. So the values of
the identifying elements are collected first, at every depth, and looked for in everything that is
kept.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag

from services.anonymizer.engine import values
from shared.errors import Reason, Reject
from shared.identity import keyed_uid

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
_SHORTEST_NAME, _SHORTEST_ID = 3, 4
_MOST = 200
"""More identifiers than any object has; searching for thousands would take for ever."""
_NEVER, _NEVER_BYTES = "(?!)", b"(?!)"


class Identity:
    """The identifiers of one object.

    Raises
    ------
    Reject
        There are more of them than any real object has.
    """

    def __init__(self, data_set: Dataset, key: bytes, pseudonym: str) -> None:
        self._pseudonym = pseudonym
        self._uids: dict[str, str] = {}
        self._words: dict[str, None] = {}
        encodings: set[str] = {"utf-8", "latin-1"}
        for level in _every_level(data_set):
            encodings.update(values.encodings_of(level))
            for name in _texts(level, _NAMES):
                for part in re.split(r"[\^=,\s]+", name):
                    self._add([part, *part.split("-")], _SHORTEST_NAME)
            self._add(_texts(level, _IDS), _SHORTEST_ID)
            self._uids |= {uid: keyed_uid(key, uid) for uid in _texts(level, _UIDS)}
        if len(self._words) + len(self._uids) > _MOST:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, f"more than {_MOST} identifiers")
        longest_first = sorted([*self._words, *self._uids], key=len, reverse=True)
        self._in_text = _text_pattern(longest_first)
        self._in_bytes = _bytes_pattern(longest_first, sorted(encodings))

    def _add(self, words: Iterable[str], shortest: int) -> None:
        for word in words:
            if len(word) >= shortest and word.casefold() != self._pseudonym.casefold():
                self._words[word] = None

    def is_one(self, text: str) -> bool:
        """Whether `text` as a whole is an identifier."""
        return self._in_text.fullmatch(text) is not None

    def clean_text(self, text: str) -> str:
        """`text` with every identifier replaced."""
        return self._in_text.sub(lambda found: self._uids.get(found[0], self._pseudonym), text)

    def clean_bytes(self, raw: bytes) -> bytes:
        """`raw` with every identifier overwritten, its length unchanged.

        Binary values may have an inner structure that depends on lengths, so nothing moves. The
        object's own character sets, UTF-8 and UTF-16 are looked for.
        """
        return self._in_bytes.sub(_overwritten, raw)


def _every_level(data_set: Dataset) -> Iterator[Dataset]:
    yield data_set
    for tag in list(data_set.keys()):
        if values.vr_of(data_set, tag) == "SQ" or values.as_sequence(data_set, tag):
            for item in data_set[tag].value or ():
                yield from _every_level(item)


def _texts(data_set: Dataset, keywords: Iterable[str]) -> Iterator[str]:
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None and tag in data_set and data_set.get_item(tag).VR != "SQ":
            yield from filter(None, values.texts_of(data_set, Tag(tag)))


def _text_pattern(words: list[str]) -> re.Pattern[str]:
    # Whole tokens: "Berg" goes, "Bergen" stays; a UID ends where its digits and dots end.
    either = "|".join(map(re.escape, words)) or _NEVER
    return re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])(?!\.[0-9])", re.IGNORECASE)


def _bytes_pattern(words: list[str], encodings: list[str]) -> re.Pattern[bytes]:
    # Ignoring case works on ASCII letters only: the others are spelled out.
    spellings = dict.fromkeys(
        spelling for word in words for spelling in (word, word.lower(), word.upper(), word.title())
    )
    letter = b"[0-9A-Za-z]"
    forms = (
        (encodings, letter, letter + rb"|\.[0-9]"),
        (["utf-16-le"], letter + rb"\0", letter + rb"\0"),
        (["utf-16-be"], rb"\0" + letter, rb"\0" + letter),
    )
    parts = [
        b"(?<!%b)(?:%b)(?!%b)" % (before, _either(spellings, codecs), after)
        for codecs, before, after in forms
    ]
    return re.compile(b"|".join(parts), re.IGNORECASE)


def _either(spellings: Iterable[str], encodings: Iterable[str]) -> bytes:
    found: dict[bytes, None] = {}
    for spelling in spellings:
        for encoding in encodings:
            with suppress(UnicodeEncodeError, LookupError):
                found[re.escape(spelling.encode(encoding))] = None
    return b"|".join(found) or _NEVER_BYTES


def _overwritten(found: re.Match[bytes]) -> bytes:
    return bytes(0 if byte == 0 else ord("X") for byte in found[0])
