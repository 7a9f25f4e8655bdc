"""Looks at files in the inbox: what each of them is, or why it can't be catalogued."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from services.classifier.facts import Facts, series_facts
from shared import imagedigest
from shared.errors import Reason, Reject
from shared.header import Header, read_header
from shared.identity import is_usable_uid
from shared.spool import Spool, disk_trouble

SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY_INSTANCE, SERIES_INSTANCE = 0x0020000D, 0x0020000E


class Patient(NamedTuple):
    """Whose image a file says it is."""

    patient_id: str
    patient_name: str
    patient_birth_date: str

    def may_be(self, other: "Patient") -> bool:
        """Whether nothing speaks against both being one person: ids decide, where both have one."""
        one, two = _plain(self.patient_id), _plain(other.patient_id)
        if one and two:
            return one == two
        same_name = _plain(self.patient_name) == _plain(other.patient_name)
        dates = {self.patient_birth_date, other.patient_birth_date} - {""}
        return same_name or not (self.patient_name and other.patient_name) or len(dates) == 1

    def known_from(self, other: "Patient") -> "Patient":
        """The same patient, with what only `other` says."""
        return Patient(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


def _plain(text: str) -> str:
    # As much of it as the ledger keeps.
    return " ".join(text.replace("\0", "")[:64].replace("^", " ").casefold().split())


@dataclass(frozen=True)
class Arrival:
    """A file that can be catalogued."""

    key: str
    path: Path
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size: int
    digest: str
    header: Header

    @property
    def patient(self) -> Patient:
        """Whose image it says it is."""
        texts = (self.header.text(tag) or "" for tag in (0x00100020, 0x00100010, 0x00100030))
        return Patient(*texts)

    @cached_property
    def facts(self) -> Facts:
        """The facts of its series: costly, and needed of one image only."""
        return series_facts(self.header, self.path)


@dataclass(frozen=True)
class Unusable:
    """A file that can't be catalogued, and why."""

    key: str
    size: int
    reason: Reason
    detail: str


def examine(spool: Spool, keys: list[str]) -> tuple[list[Arrival], list[Unusable]]:
    """Read the headers of inbox files. A file that is gone is left out: it has been catalogued.

    Raises
    ------
    Retry
        The spool can't be read.
    """
    arrivals, unusable = [], []
    with disk_trouble():
        for key in keys:
            path = spool.path(key)
            try:
                arrivals.append(_examine(key, path))
            except Reject as error:
                unusable.append(Unusable(key, path.stat().st_size, error.reason, error.detail))
            except FileNotFoundError:
                continue
    return arrivals, unusable


def _examine(key: str, path: Path) -> Arrival:
    header = read_header(path)
    uids = []
    for tag in (STUDY_INSTANCE, SERIES_INSTANCE, SOP_INSTANCE, SOP_CLASS):
        uid = header.text(tag)
        if uid is None:
            raise Reject(Reason.MISSING_UID, f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        if not is_usable_uid(uid):
            raise Reject(Reason.ILLEGAL_UID, f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        uids.append(uid)
    study, series, instance, sop_class = uids
    syntax = header.transfer_syntax
    digest = imagedigest.digest(path, header.data_set_offset, syntax)
    size = path.stat().st_size
    return Arrival(key, path, study, series, instance, sop_class, syntax, size, digest, header)
