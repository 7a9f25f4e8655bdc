"""Looks at one file: an image, a DICOMDIR, or something else, and why."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from services.api.imports.listings import ListingError, is_listing, read_listing
from shared.errors import Reason, Reject
from shared.header import Header, read_header
from shared.identity import is_usable_uid
from shared.importing import Kind, Why, label

HEAD = 1024
"""Bytes that tell what a file is."""
_UIDS = (0x0020000D, 0x0020000E, 0x00080018, 0x00080016)  # study, series, instance, class
_BURNED_IN = 0x00280301
_STUDY_COLUMNS = {
    "patient_id": 0x00100020,
    "patient_name": 0x00100010,
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
    "accession_number": 0x00080050,
    "study_date": 0x00080020,
    "study_description": 0x00081030,
}
_WHY = {Reason.TRUNCATED: Why.TRUNCATED, Reason.NOT_DICOM: Why.UNREADABLE}


@dataclass(frozen=True)
class Found:
    """Something in an uploaded file, with the names of `ImportItem`."""

    path: str
    kind: Kind
    why: Why | None = None
    size: int = 0
    member: int = 0
    digest: str | None = None
    study: str = ""
    series: str = ""
    sop: str = ""
    modality: str = ""
    burned_in: bool = False
    about: dict[str, str] = field(default_factory=dict)
    """What it says of its study and patient, with the names of `ImportStudy`."""


def verdict(head: bytes) -> Why | None:
    """Why a file with these first bytes is no DICOM file; None where it says that it is one."""
    if head[128:132] == b"DICM":
        return None
    if not head:
        return Why.EMPTY
    return Why.NO_FILE_HEADER if _starts_like_a_data_set(head) else Why.NOT_DICOM


def not_dicom(name: str, why: Why, size: int, member: int = 0) -> Found:
    """What is left of a file that is no DICOM file."""
    kind = Kind.UNREADABLE if why is Why.NO_FILE_HEADER else Kind.IGNORED
    return Found(label(name), kind, why, size, member)


def look_at(path: Path, name: str, max_size: int, member: int = 0) -> list[Found]:
    """What a DICOM file is; of a DICOMDIR also what it names.

    Parameters
    ----------
    name
        Its label.
    max_size
        Longest image, bytes.

    Raises
    ------
    OSError
        It can't be read.
    """
    size, shown = path.stat().st_size, label(name)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if is_listing(head):
        return _listing(path, shown, size, member)
    if size > max_size:
        return [Found(shown, Kind.UNREADABLE, Why.TOO_LARGE, size, member)]
    try:
        header = read_header(path)
    except Reject as error:
        why = _WHY.get(error.reason, Why.UNREADABLE)
        return [Found(shown, Kind.UNREADABLE, why, size, member)]
    uids = [header.text(tag) or "" for tag in _UIDS]
    if not all(map(is_usable_uid, uids)):
        why = Why.ILLEGAL_UID if all(uids) else Why.MISSING_UID
        return [Found(shown, Kind.UNREADABLE, why, size, member)]
    return [_image(path, header, uids, Found(shown, Kind.IMAGE, None, size, member))]


def _image(path: Path, header: Header, uids: list[str], found: Found) -> Found:
    return Found(
        found.path,
        found.kind,
        found.why,
        found.size,
        found.member,
        digest=_digest(path, header),
        study=uids[0],
        series=uids[1],
        sop=uids[2],
        modality=header.text(0x00080060) or "",
        burned_in=(header.text(_BURNED_IN) or "").upper() == "YES",
        about={name: header.text(tag) or "" for name, tag in _STUDY_COLUMNS.items()},
    )


def _listing(path: Path, shown: str, size: int, member: int) -> list[Found]:
    try:
        named = read_listing(path)
    except ListingError:
        return [Found(shown, Kind.UNREADABLE, Why.UNREADABLE, size, member)]
    return [
        Found(shown, Kind.LISTING, Why.DIRECTORY, size, member),
        *(
            Found(label(one.path), Kind.NAMED, Why.MISSING, sop=one.sop_uid, member=member)
            for one in named
        ),
    ]


def _digest(path: Path, header: Header) -> str:
    """BLAKE2b-128 of the data set and its encoding, without the file meta, which copies change."""
    with path.open("rb") as file:
        file.seek(header.data_set_offset)
        start = header.transfer_syntax.encode()
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(start, digest_size=16))
    return found.hexdigest()


def _starts_like_a_data_set(head: bytes) -> bool:
    """Whether a data set without preamble starts here, as in old archives and ACR-NEMA files."""
    if len(head) < 8:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    short = int.from_bytes(head[4:8], "little") < 256
    group, element = (int.from_bytes(head[at : at + 2], "little") for at in (0, 2))
    return group in (2, 8) and element <= 0x18 and (explicit or short)
