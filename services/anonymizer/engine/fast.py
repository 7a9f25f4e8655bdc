"""The fast reader: the raw header is edited, the pixel data copied by the kernel.

What it can't take, it leaves to the careful reader by raising `Unsure`, before anything is written.
"""

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from services.anonymizer.engine.copying import copy
from services.anonymizer.engine.edits import Prepared, applied, header_edits, prepared_for
from services.anonymizer.engine.found import Found
from services.anonymizer.engine.heads import Unsure
from services.anonymizer.engine.identity import AE_TITLES_IN_META, Kind
from services.anonymizer.engine.objects import ObjectUids, check, check_permitted
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Report
from services.anonymizer.engine.scanner import Scanner, Short
from services.anonymizer.engine.sequences import Sequences
from services.anonymizer.engine.templates import Scanned, Templates
from services.anonymizer.engine.tokens import is_uid_like
from shared.errors import Reason, Reject
from shared.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.walk import UNDEFINED, InMemory, Walk, Window

_STUDY, _SERIES, _INSTANCE, _CLASS, _MODALITY = (
    0x0020000D, 0x0020000E, 0x00080018, 0x00080016, 0x00080060
)  # fmt: skip
_LARGEST_HEADER = 1 << 25
_LARGEST_TAIL = 1 << 22
_SHORT, _LONG = struct.Struct("<H"), struct.Struct("<L")


def deidentify(
    source: Path, target: BinaryIO, plan: Plan, expected: ObjectUids | None, report: Report
) -> None:
    """Write the de-identified copy of `source` to `target`; as `engine.deidentify`.

    Raises
    ------
    Unsure
        The careful reader must take the file; nothing is written.
    Reject
        The object can't be de-identified with certainty.
    """
    with source.open("rb", buffering=0) as file:
        header = _Header(file.fileno())
        filled = _TEMPLATES.fill(plan, header.meta, header.data, header.start, report)
        if filled is not None and header.has_pixels(filled.end):
            known = filled.template.scanned
            uids = known.uids._replace(instance=filled.instance)
            check(uids, known.sop_class, expected)
            pixels_end = header.pixels_end(filled.end)
            if pixels_end == header.size:
                meta = _file_meta(known, uids)
                target.write(b"".join([meta, *filled.pieces]))
                copy(file.fileno(), filled.end, pixels_end, target)
                return
        report.warnings.clear()
        _scan(header, target, plan, expected, report)


def _scan(
    header: "_Header",
    target: BinaryIO,
    plan: Plan,
    expected: ObjectUids | None,
    report: Report,
) -> None:
    """The same without a template."""
    found = header.scan()
    uids = ObjectUids(*(_uid(found, tag) for tag in (_STUDY, _SERIES, _INSTANCE)))
    sop_class = _uid(found, _CLASS)
    check_permitted(plan.profile, sop_class, header.syntax)
    check(uids, sop_class, expected)
    pixels_end = header.pixels_end(found.end)
    tail, tail_found = header.scan_tail(pixels_end)
    prepared = _prepare(plan, header, found, tail_found, uids, sop_class)
    edits = header_edits(header.data, found, prepared, report, add=True)
    pieces = applied(header.data, header.start, found.end, edits)
    scanned = Scanned(
        plan, prepared, header.meta, uids, sop_class, header.implicit, header.start, header.data,
        found, edits,
    )  # fmt: skip
    tail_edits = header_edits(tail, tail_found, prepared, report, add=False)
    if not (tail or report.warnings):
        _TEMPLATES.learn(scanned)
    target.write(b"".join([_file_meta(scanned, uids), *pieces]))
    copy(header.descriptor, found.end, pixels_end, target)
    target.write(b"".join(applied(tail, 0, len(tail), tail_edits)))


class _Header:
    """The start of a file, and where its parts are.

    Raises
    ------
    Unsure, Reject
        As `deidentify`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.data = os.pread(descriptor, _TEMPLATES.first_read, 0)
        self.syntax, self.start, self.ae_titles = _read_meta(self.data)
        if self.syntax in DEFLATED or self.syntax == EXPLICIT_BIG:
            raise Unsure
        self.implicit = self.syntax == IMPLICIT_LITTLE

    @property
    def meta(self) -> tuple[str, tuple[bytes, ...]]:
        """What the file meta information says that matters."""
        return self.syntax, self.ae_titles

    def scan(self) -> Found:
        """The elements before the pixel data; reads as much as that takes."""
        while True:
            complete = len(self.data) >= self.size
            try:
                scanner = Scanner(
                    self.data, implicit=self.implicit, complete=complete, sequences=_SEQUENCES
                )
                return scanner.scan(self.start)
            except Short as short:
                wanted = max(2 * len(self.data), short.args[0])
                if min(wanted, self.size) > _LARGEST_HEADER:
                    raise Unsure from None
                self.data = os.pread(self.descriptor, wanted, 0)

    def has_pixels(self, position: int) -> bool:
        """Whether pixel data starts there, or the file ends."""
        return position == self.size or self.data.startswith(b"\xe0\x7f\x10\0", position)

    def pixels_end(self, start: int) -> int:
        """Where the pixel data ends that starts at `start`; `start` at the end of the file."""
        if start == self.size:
            return start
        header = self.data[start : start + 12]
        if len(header) < 12:
            header = os.pread(self.descriptor, 12, start)
        if len(header) < 12:
            raise Unsure
        if self.implicit:
            value, length = start + 8, _LONG.unpack_from(header, 4)[0]
        else:
            if header[4:6] not in (b"OB", b"OW", b"OF", b"OD"):
                raise Unsure
            value, length = start + 12, _LONG.unpack_from(header, 8)[0]
        if length == UNDEFINED:
            if self.implicit:
                raise Unsure
            window = Window(self.descriptor, self.size)
            return Walk(window, implicit=False, big_endian=False).past_items(value, 0)
        if value + length > self.size:
            raise Reject(Reason.TRUNCATED)
        return int(value + length)

    def scan_tail(self, start: int) -> tuple[bytes, Found]:
        """The bytes behind the pixel data, and the elements in them."""
        if start == self.size:
            return b"", Found()
        if self.size - start > _LARGEST_TAIL:
            raise Unsure
        tail = os.pread(self.descriptor, _LARGEST_TAIL, start)
        found = Scanner(tail, implicit=self.implicit, complete=True).scan(0)
        if found.end != len(tail) or found.tags[0] <= 0x7FE00010 or found.character_set:
            raise Unsure
        return tail, found


_SEQUENCES, _TEMPLATES = Sequences(), Templates()


def _uid(found: Found, tag: int) -> str:
    raw = found.facts.get(tag, b"")
    if not raw.isascii():
        raise Unsure
    return raw.decode().strip(" \0")


def _prepare(
    plan: Plan, header: _Header, found: Found, tail: Found, uids: ObjectUids, sop_class: str
) -> Prepared:
    """What is known about such objects; found again by all that identifies them."""
    # Its own UID is different in each image of a series. Where it would be found in the middle of
    # a text anyway, it need not be looked for.
    own = uids.instance if is_uid_like(uids.instance) else None
    known_by = [
        (head.kind, head.vr, raw[:8] if head.kind is Kind.DATE and b"\\" not in raw else raw)
        for head, raw in found.identifying + tail.identifying
        if head.tag != _INSTANCE or raw.strip(b" \0").decode("latin-1") != own
    ]
    known_by += [(Kind.ID, "AE", raw) for raw in header.ae_titles]
    identifying = tuple(dict.fromkeys(known_by))
    about = uids.study, sop_class, _uid(found, _MODALITY)
    return prepared_for(plan, about, identifying, found.character_set, implicit=header.implicit)


def _read_meta(data: bytes) -> tuple[str, int, tuple[bytes, ...]]:
    """The transfer syntax, where the data set starts, and the AE titles that stand before it."""
    # With a group length first, as it must be (PS3.10 section 7.1).
    if data[128:132] != b"DICM" or data[132:140] != b"\x02\0\0\0UL\x04\0":
        raise Unsure
    end = 144 + _LONG.unpack_from(data, 140)[0]
    if end + 8 > len(data):
        raise Unsure
    walk = Walk(InMemory(data[:end]), implicit=False, big_endian=False)
    position, syntax, ae_titles = 144, b"", []
    while position < end:
        tag, (_, value, length) = walk.element(position)
        position = value + length
        if tag >> 16 != 0x0002 or position > end:
            raise Unsure
        if tag == 0x00020010:
            syntax = data[value:position]
        elif tag in AE_TITLES_IN_META:
            ae_titles.append(data[value:position])
    if data[end : end + 2] == b"\x02\0" or not syntax.isascii():
        raise Unsure
    return syntax.decode().strip(" \0"), end, tuple(ae_titles)


@lru_cache(maxsize=256)
def _meta_around(sop_class: str, syntax: str) -> tuple[bytes, bytes]:
    """The file meta information before and behind the SOP Instance UID (PS3.10 table 7.1-1)."""
    version = b"\x02\0\x01\0OB\0\0" + _LONG.pack(2) + b"\0\x01"
    before = version + _meta_element(0x0002, b"UI", sop_class.encode())
    behind = (
        _meta_element(0x0010, b"UI", syntax.encode())
        + _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode())
        + _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode())
    )
    return before, behind


def _meta_element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(2) + _SHORT.pack(element) + vr + _SHORT.pack(len(value)) + value


def _file_meta(scanned: Scanned, uids: ObjectUids) -> bytes:
    released = scanned.prepared.released_instance(uids.instance)
    before, behind = _meta_around(scanned.sop_class, scanned.start[0])
    group = before + _meta_element(0x0003, b"UI", released.encode()) + behind
    length = b"\x02\0\0\0UL\x04\0" + _LONG.pack(len(group))
    return bytes(128) + b"DICM" + length + group
