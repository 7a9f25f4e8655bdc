"""Objects made around one row of the 2019 table, and what must become of them.

Nothing of the engine is used: objects are written byte by byte (PS3.5 section 7, explicit little
endian), the copies are read by `tests.rawreading`, and what is expected follows from the row's word
in the data file and from DESIGN section 7 alone.
"""

import csv
import hashlib
import hmac
import struct
from base64 import b32encode
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reject
from tests.rawreading import read_raw

PLAN = Plan(
    project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="v1", site="Bergen",
    date_shift_days=3,
)  # fmt: skip
NAME = "Hemmelig"
"""Of somebody whom the object names in an element that the table does not: to be found nowhere."""
SOP_CLASS, STUDY, SERIES, INSTANCE = 0x00080016, 0x0020000D, 0x0020000E, 0x00080018
_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7"
_BASE = {
    SOP_CLASS: ("UI", _CLASS_UID), STUDY: ("UI", "1.2.840.99999.1"),
    SERIES: ("UI", "1.2.840.99999.2"), INSTANCE: ("UI", "1.2.840.99999.3"),
    0x0008009C: ("PN", NAME),  # ConsultingPhysicianName
}  # fmt: skip
DEPTHS = {
    "top level": "",
    "nested": "00081115[0].",
    "three deep": "00081115[0].0008114A[0].00081160[0].",
    "private sequence": "00211042[0].",
}
"""The paths in front of an element; no sequence of them is in the table."""
_CREATORS = {0x0013: (0x00130010, "CTP"), 0x0021: (0x00210010, "SLUSE TESTS")}
_LONG_VRS = ("OB", "OW", "SQ", "UN", "UT")
KEPT = ("keep", "process", "BODYPART")
"""Words for rows that keep the value; the last one is a placeholder that no transfer fills."""

# DESIGN section 7; the reasons stand in settled.csv.
SETTLED = {
    "0008,0050": "study hash", "0020,0010": "study hash", "0008,0080": "PROJECTNAME",
    "0008,1010": "PROJECTNAME", "0008,1140": "process", "0040,a730": "process",
    "0012,0064": "113100/113107/113108/113109",
}  # fmt: skip
_COPIES = (*KEPT, "remove", "empty", "hashuid", "hashuid+PROJECTNAME", "incrementdate")
"""What follows from the old value; every other word puts a value of its own."""
_TWO_VALUES = {
    "AE": ("SCANNER1", "SCANNER2"), "AS": ("045Y", "046Y"), "CS": ("CODE", "CODE2"),
    "DA": ("20200228", "20191231"), "DS": ("7.5", "-8"), "UI": ("1.2.840.99999.8", "1.2.840.9.7"),
    "DT": ("20200228101112.5+0100", "20191231"), "TM": ("101112", "101113.25"), "US": ("7", "8"),
    "PN": (f"{NAME}^Kari", "Kari"),
}  # fmt: skip
_TEXTS = (f"of {NAME}", "plain")
_CODES = frozenset({"AS", "CS", "DS", "TM", "US"})
"""Of these only a whole value can be an identifier."""


class Row(NamedTuple):
    """One row of the data file, as far as it is about the engine."""

    tag: int
    name: str
    action: str
    """The row's word, or what DESIGN section 7 has instead of it."""
    vr: str

    def __str__(self) -> str:
        return f"{self.tag >> 16:04x},{self.tag & 0xFFFF:04x} {self.name}"

    @property
    def writes(self) -> bool:
        """Whether the row puts a value that does not come from the old one."""
        return self.action not in _COPIES


def _row(row: dict[str, str]) -> Row:
    place = f"{row['group']},{row['element']}"
    tag = int(row["group"] + row["element"], 16)
    vr = "LO" if tag >> 16 & 1 else dictionary_VR(tag)
    return Row(tag, row["name"], SETTLED.get(place, row["action"]), vr)


ROWS = tuple(
    _row(row)
    for row in csv.DictReader(
        files("shared.profile").joinpath("source-2019.csv").read_text().splitlines()
    )
)


# Objects


def values_of(row: Row, how_many: int) -> list[str]:
    """Sample values; of a sequence, one for each item."""
    return list(_TWO_VALUES.get(row.vr, _TEXTS))[:how_many]


def encoded(vr: str, values: Collection[str]) -> bytes:
    """Values as bytes of even length; those of a sequence are its items' code values."""
    if vr == "SQ":
        return b"".join(item({0x00080100: ("SH", one), 0x00100010: ("PN", NAME)}) for one in values)
    if vr == "US":
        return struct.pack(f"<{len(values)}H", *map(int, values))
    raw = "\\".join(values).encode()
    return raw + (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(raw) % 2)


Elements = dict[int, tuple[str, str | bytes]]
"""Tag to VR and value."""


def data_set(elements: Elements) -> bytes:
    """Elements as bytes, in order, with their private creators."""
    whole = dict(elements)
    for tag in elements:
        if tag >> 16 in _CREATORS:
            creator, name = _CREATORS[tag >> 16]
            whole.setdefault(creator, ("LO", name))
    return b"".join(_element(tag, *whole[tag]) for tag in sorted(whole))


def _element(tag: int, vr: str, value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else encoded(vr, value.split("\\"))
    length = struct.pack("<HL", 0, len(raw)) if vr in _LONG_VRS else struct.pack("<H", len(raw))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + length + raw


def item(elements: Elements) -> bytes:
    """One item of a sequence (PS3.5 7.5)."""
    raw = data_set(elements)
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(raw)) + raw


def part10(tag: int, element: tuple[str, bytes] | None, depths: Collection[str]) -> bytes:
    """A file with the element `tag` (VR and value) at some depths; None leaves it out there."""

    def level(depth: str, others: Elements) -> Elements:
        if depth not in depths:
            return others
        rest: Elements = {one: other for one, other in others.items() if one != tag}
        return rest if element is None else rest | {tag: element}

    deepest = item(level("three deep", {}))
    second = item({0x00081160: ("SQ", deepest)})
    first = item(level("nested", {0x0008114A: ("SQ", second)}))
    private = item(level("private sequence", {}))
    return _file(
        level("top level", {**_BASE, 0x00081115: ("SQ", first), 0x00211042: ("SQ", private)})
    )


def file_of(elements: Elements) -> bytes:
    """A file of an object with these elements."""
    return _file({**_BASE, **elements})


def _file(top: Elements) -> bytes:
    meta = data_set({0x00020003: _BASE[INSTANCE], 0x00020010: ("UI", "1.2.840.10008.1.2.1")})
    length = b"\2\0\0\0UL\4\0" + struct.pack("<L", len(meta))
    return bytes(128) + b"DICM" + length + meta + data_set(top)


# Copies


class Copy(NamedTuple):
    """What the engine made of a file."""

    raw: bytes
    values: dict[str, bytes]
    """By path, without padding."""


def path_of(row: Row, depth: str) -> str:
    """Where the element stands."""
    return f"{DEPTHS[depth]}{row.tag:08X}"


def copy_of(original: bytes, folder: Path, *, explain: bool) -> Copy | None:
    """The de-identified copy; None where the object is held."""
    source, target = folder / "in.dcm", BytesIO()
    source.write_bytes(original)
    try:
        deidentify(source, target, PLAN, explain=explain)
    except Reject:
        return None
    found = read_raw(target.getvalue())
    assert found.whole
    values = {one.path: found.value(one).strip(b" \0") for one in found.elements}
    return Copy(target.getvalue(), values)


# What must become of them


def _mac(purpose: str, value: str) -> bytes:
    return hmac.digest(PLAN.key, f"{purpose}\0{value}".encode(), hashlib.sha256)


def released(uid: str) -> str:
    """The UID that stands for `uid`: docs/decisions/0004."""
    return f"2.25.{int.from_bytes(_mac('uid', uid)[:16])}"


def moved(date: str) -> str:
    """A DA or DT value, 3 days later."""
    day = datetime.strptime(date[:8], "%Y%m%d") + timedelta(days=3)  # noqa: DTZ007 a day
    return f"{day:%Y%m%d}{date[8:]}"


def _kept(row: Row, value: str) -> str:
    """After the identity sweep; an AE title is an identifier itself."""
    if row.vr == "AE":
        return PLAN.participant
    return value if row.vr in _CODES else value.replace(NAME, PLAN.participant)


_FROM_OLD: dict[str, Callable[[str], str]] = {
    "hashuid": released,
    "hashuid+PROJECTNAME": released,
    "incrementdate": moved,
}
_PLACEHOLDERS = {
    "Re-Mapped": PLAN.participant, "PROJECTNAME": PLAN.project, "always": PLAN.project,
    "SITENAME": PLAN.site, "SITEID": PLAN.site,
}  # fmt: skip


def written(row: Row, study: str) -> str:
    """The value that a row puts whatever was there; a word that is no placeholder is a literal."""
    if row.action == "study hash":
        return b32encode(_mac("study", study)).decode()[:16]
    return _PLACEHOLDERS.get(row.action, row.action)


def expected(row: Row, values: list[str] | None, depth: str) -> dict[str, bytes | None]:
    """What must stand where, by path; None where nothing may be. `values` None is an absent one."""
    top, path = depth == "top level", path_of(row, depth)
    if row.action == "remove":
        return {path: None}
    if "/" in row.action and top:
        return _items(path, row.action.split("/"))
    if row.writes and row.vr != "SQ" and (top or values is not None):
        study = values[0] if values and row.tag == STUDY else str(_BASE[STUDY][1])
        return {path: written(row, study).encode()}
    if values is None:
        # Type 2 in the equipment module, which institution and station bring in (PS3.3 C.7.5.1).
        return {path: b"" if top and row.name == "Manufacturer" else None}
    if row.action == "empty":
        return {path: b""}
    if row.vr == "SQ":
        return _items(path, values) if values else {path: b""}
    change = _FROM_OLD.get(row.action, partial(_kept, row))
    return {path: encoded(row.vr, [change(one) for one in values]).strip(b" \0")}


def _items(path: str, codes: list[str]) -> dict[str, bytes | None]:
    """Items that were entered: the table reaches the names in them, the codes stay."""
    found: dict[str, bytes | None] = {f"{path}[{len(codes)}].00080100": None}
    for number, code in enumerate(codes):
        found[f"{path}[{number}].00080100"] = code.replace(NAME, PLAN.participant).encode()
    return found
