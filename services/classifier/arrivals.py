"""Looks at files in the inbox: what each of them is, or why it can't be catalogued."""

from dataclasses import dataclass
from pathlib import Path

import xxhash

from services.classifier.facts import series_facts
from shared.errors import Reason, Reject
from shared.header import Header, read_header
from shared.identity import is_usable_uid
from shared.spool import Spool, disk_trouble

SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY_INSTANCE, SERIES_INSTANCE = 0x0020000D, 0x0020000E
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Arrival:
    """A file that can be catalogued."""

    key: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size: int
    digest: str
    header: Header

    @property
    def facts(self) -> dict[str, str]:
        """The facts of its series."""
        return series_facts(self.header)


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
    digest = _digest(path, header.data_set_offset, syntax)
    size = path.stat().st_size
    return Arrival(key, study, series, instance, sop_class, syntax, size, digest, header)


def _digest(path: Path, offset: int, transfer_syntax: str) -> str:
    """XXH3-128 of the data set and its encoding, without the file meta that Sluse wrote itself."""
    state = xxhash.xxh3_128(transfer_syntax.encode())
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
