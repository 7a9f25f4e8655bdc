"""The identity sweep: an object's own identifiers, wherever else they stand in it.

The table names some 270 elements; vendors copy names, ids and UIDs into many more. So the values of
the identifying elements are collected first and looked for in everything that is kept.
"""

import re
from collections.abc import Iterable
from contextlib import suppress

from pydicom import Dataset
from pydicom.multival import MultiValue

from shared.identity import keyed_uid

# Elements whose values identify, and what may stand instead of them in text.
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
_NEVER, _NEVER_BYTES = "(?!)", b"(?!)"


class Identity:
    """The identifiers of one object."""

    def __init__(self, data_set: Dataset, key: bytes, pseudonym: str) -> None:
        self._replacements: dict[str, str] = {}
        for keyword in _NAMES:
            for value in _texts(data_set, keyword):
                for part in re.split(r"[\^=,\s]+", value):
                    self._add(part, pseudonym, _SHORTEST_NAME)
        for keyword in _IDS:
            for value in _texts(data_set, keyword):
                self._add(value, pseudonym, _SHORTEST_ID)
        for keyword in _UIDS:
            for value in _texts(data_set, keyword):
                self._replacements[value.lower()] = keyed_uid(key, value)
        longest_first = sorted(self._replacements, key=len, reverse=True)
        self._in_text = _text_pattern(longest_first)
        self._in_bytes = _bytes_pattern(longest_first)

    def _add(self, value: str, replacement: str, shortest: int) -> None:
        if len(value) >= shortest and value.lower() != replacement.lower():
            self._replacements[value.lower()] = replacement

    def clean_text(self, text: str) -> str:
        """`text` with every identifier replaced."""
        return self._in_text.sub(lambda found: self._replacements[found[0].lower()], text)

    def clean_bytes(self, raw: bytes) -> bytes:
        """`raw` with every identifier overwritten, its length unchanged.

        Binary values may have an inner structure that depends on lengths, so nothing moves.
        One-byte characters, UTF-8 and UTF-16 are looked for.
        """
        return self._in_bytes.sub(_overwritten, raw)


def _text_pattern(words: list[str]) -> re.Pattern[str]:
    # Whole tokens: "Berg" goes, "Bergen" stays; a UID ends where its digits and dots end.
    either = "|".join(map(re.escape, words)) or _NEVER
    return re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])(?!\.[0-9])", re.IGNORECASE)


def _bytes_pattern(words: list[str]) -> re.Pattern[bytes]:
    narrow: dict[bytes, None] = {}
    wide: dict[bytes, None] = {}
    for word in words:
        # Ignoring case works on ASCII letters only: the others are spelled out.
        for spelling in (word, word.upper(), word.title()):
            for encoding in ("utf-8", "latin-1"):
                with suppress(UnicodeEncodeError):
                    narrow[re.escape(spelling.encode(encoding))] = None
            wide[re.escape(spelling.encode("utf-16-le"))] = None
    pattern = b"|".join(
        (
            rb"(?<![0-9A-Za-z])(?:%s)(?![0-9A-Za-z])(?!\.[0-9])"
            % (b"|".join(narrow) or _NEVER_BYTES),
            rb"(?<![0-9A-Za-z]\0)(?:%s)(?![0-9A-Za-z]\0)" % (b"|".join(wide) or _NEVER_BYTES),
        )
    )
    return re.compile(pattern, re.IGNORECASE)


def _overwritten(found: re.Match[bytes]) -> bytes:
    return bytes(0 if byte == 0 else ord("X") for byte in found[0])


def _texts(data_set: Dataset, keyword: str) -> Iterable[str]:
    value = data_set.get(keyword)
    if value is None:
        return
    for one in value if isinstance(value, MultiValue) else [value]:
        text = str(one).strip(" \0")
        if text:
            yield text
