"""Whether files are of one patient: that is compared, and never told.

What a file says of its patient leaves its process only as digests under a secret of the run.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from services.anonymizer.standalone.outcomes import Files
from shared.header import Header

_ID, _NAME, _BIRTH_DATE = 0x00100020, 0x00100010, 0x00100030
LAST_TAG = _BIRTH_DATE
"""A header need not be read any further."""


class Patient(NamedTuple):
    """What one file says of its patient, as digests; empty where it says nothing."""

    id: bytes
    name: bytes
    birth_date: bytes


class SeveralPatients(ValueError):
    """The input holds files of several patients; nothing was written.

    Parameters
    ----------
    patients
        The files of each.
    """

    def __init__(self, patients: list[Files]) -> None:
        super().__init__(f"files of {len(patients)} patients")
        self.patients = patients


def patient_in(header: Header, secret: bytes) -> Patient:
    """Whose image it is.

    Parameters
    ----------
    secret
        Of the run: digests of two runs can't be compared.
    """
    # Of a name the alphabetic group; carets and blanks both part its words (PS3.5 6.2.1).
    words = (header.text(_NAME) or "").partition("=")[0].replace("^", " ").split()
    number = (header.text(_ID) or "").split()
    birth_date = (header.text(_BIRTH_DATE) or "").replace(".", "").split()
    said = "".join(number), " ".join(words), "".join(birth_date)
    return Patient(*(_digest(text, secret) for text in said))


def _digest(text: str, secret: bytes) -> bytes:
    if not text:
        return b""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return hashlib.blake2b(plain.encode(), key=secret, digest_size=16).digest()


def by_patient(images: Sequence[tuple[str, Patient]]) -> list[Files]:
    """The files of each patient; those that say nothing of their patient are nobody's.

    Parameters
    ----------
    images
        Name and patient of each, in the order of the input.
    """
    known: list[_Known] = []
    whose: dict[Patient, _Known] = {}
    # Who says most comes first: the others are then compared with all that is known.
    for patient in sorted(dict.fromkeys(one for _, one in images if any(one)), key=_gaps):
        whose[patient] = next((one for one in known if one.may_be(patient)), None) or _Known()
        if whose[patient] not in known:
            known.append(whose[patient])
        whose[patient].add(patient)
    files: dict[_Known, Files] = {}
    for name, patient in images:
        if patient in whose:
            files.setdefault(whose[patient], Files()).add(name)
    return list(files.values())


def _gaps(patient: Patient) -> int:
    return patient.count(b"")


class _Known:
    """What is known of one patient."""

    def __init__(self) -> None:
        self._facts: tuple[set[bytes], ...] = (set(), set(), set())

    def add(self, patient: Patient) -> None:
        """Take in what a file says."""
        for known, fact in zip(self._facts, patient, strict=True):
            known.update([fact] if fact else [])

    def may_be(self, patient: Patient) -> bool:
        """Whether nothing tells them apart.

        People's names change and birth dates are put right: under one id it takes both to make two
        people (whose devices or hospitals gave them the same number). Without ids it takes one.
        """
        same_id, *details = (
            fact in known if fact and known else None
            for known, fact in zip(self._facts, patient, strict=True)
        )
        if same_id is False:
            return False
        return False not in details or (same_id is True and True in details)
