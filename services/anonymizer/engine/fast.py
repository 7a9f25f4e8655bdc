"""The fast reader: the raw header is edited, the pixel data copied by the kernel.

What it can't take, it leaves to the careful reader by raising `Unsure`, before anything is written.
"""

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from services.anonymizer.engine.edits import Prepared, applied, header_edits, prepared_for
from services.anonymizer.engine.identity import AE_TITLES_IN_META, Kind
from services.anonymizer.engine.objects import ObjectUids, check
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Report
from services.anonymizer.engine.scanner import Found, Scanner, Short, Unsure
from services.anonymizer.engine.tokens import is_uid_like
from shared.errors import Reason, Reject
from shared.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.walk import UNDEFINED, InMemory, Walk, Window

_STUDY, _SERIES, _INSTANCE, _CLASS, _MODALITY = (
    0x0020000D, 0x0020000E, 0x00080018, 0x00080016, 0x00080060
)  # fmt: skip
_FIRST_READ = 1 << 14
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
        parts = _Parts(file.fileno())
        found = parts.found
        uids = ObjectUids(*(_uid(found, tag) for tag in (_STUDY, _SERIES, _INSTANCE)))
        sop_class = _uid(found, _CLASS)
        check(uids, sop_class, expected)
        prepared = _prepare(plan, parts, uids, sop_class)
        edits = header_edits(parts.data, found, prepared, report, add=True)
        header = applied(parts.data, parts.start, found.end, edits)
        tail: list[bytes] = []
        if parts.tail_found is not None:
            tail_edits = header_edits(parts.tail, parts.tail_found, prepared, report, add=False)
            tail = applied(parts.tail, 0, len(parts.tail), tail_edits)
        meta = _file_meta(sop_class, prepared.released_instance(uids.instance), parts.syntax)
        target.write(b"".join([meta, *header]))
        _copy(file.fileno(), found.end, parts.pixels_end, target)
        target.write(b"".join(tail))


class _Parts:
    """A file's header, pixel data and tail.

    Raises
    ------
    Unsure, Reject
        As `deidentify`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self.data = os.pread(descriptor, _FIRST_READ, 0)
        self.syntax, self.start, self.ae_titles = _read_meta(self.data)
        if self.syntax in DEFLATED or self.syntax == EXPLICIT_BIG:
            raise Unsure
        self._implicit = self.syntax == IMPLICIT_LITTLE
        self.found = self._scan_header()
        self.pixels_end = self._find_pixels_end()
        self.tail, self.tail_found = b"", None
        if self.pixels_end < self._size:
            self.tail, self.tail_found = self._scan_tail()

    @property
    def implicit(self) -> bool:
        """Whether elements come without VR."""
        return self._implicit

    def _scan_header(self) -> Found:
        while True:
            complete = len(self.data) >= self._size
            try:
                scanner = Scanner(self.data, implicit=self._implicit, complete=complete)
                return scanner.scan(self.start)
            except Short as short:
                wanted = max(2 * len(self.data), short.args[0])
                if min(wanted, self._size) > _LARGEST_HEADER:
                    raise Unsure from None
                self.data = os.pread(self._descriptor, wanted, 0)

    def _find_pixels_end(self) -> int:
        start = self.found.end
        if start == self._size:
            return start
        header = os.pread(self._descriptor, 12, start)
        if len(header) < 12:
            raise Unsure
        if self._implicit:
            value, length = start + 8, _LONG.unpack_from(header, 4)[0]
        else:
            if header[4:6] not in (b"OB", b"OW", b"OF", b"OD"):
                raise Unsure
            value, length = start + 12, _LONG.unpack_from(header, 8)[0]
        if length == UNDEFINED:
            if self._implicit:
                raise Unsure
            window = Window(self._descriptor, self._size)
            return Walk(window, implicit=False, big_endian=False).past_items(value, 0)
        if value + length > self._size:
            raise Reject(Reason.TRUNCATED)
        return int(value + length)

    def _scan_tail(self) -> tuple[bytes, Found]:
        if self._size - self.pixels_end > _LARGEST_TAIL:
            raise Unsure
        tail = os.pread(self._descriptor, _LARGEST_TAIL, self.pixels_end)
        found = Scanner(tail, implicit=self._implicit, complete=True).scan(0)
        if found.end != len(tail) or found.tags[0] <= 0x7FE00010 or found.character_set:
            raise Unsure
        return tail, found


def _uid(found: Found, tag: int) -> str:
    raw = found.facts.get(tag, b"")
    if not raw.isascii():
        raise Unsure
    return raw.decode().strip(" \0")


def _prepare(plan: Plan, parts: _Parts, uids: ObjectUids, sop_class: str) -> Prepared:
    """What is known about such objects; found again by all that identifies them."""
    everything = parts.found.identifying
    if parts.tail_found is not None:
        everything = everything + parts.tail_found.identifying
    # Its own UID is different in each image of a series. Where it would be found in the middle of
    # a text anyway, it need not be looked for.
    own = uids.instance if is_uid_like(uids.instance) else None
    identifying = tuple(
        (head.kind, head.vr, raw[:8] if head.kind is Kind.DATE and b"\\" not in raw else raw)
        for head, raw in everything
        if head.tag != _INSTANCE or raw.strip(b" \0").decode("latin-1") != own
    )
    identifying += tuple((Kind.ID, "AE", raw) for raw in parts.ae_titles)
    about = uids.study, sop_class, _uid(parts.found, _MODALITY)
    return prepared_for(
        plan, about, identifying, parts.found.character_set, implicit=parts.implicit
    )


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


def _file_meta(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    before, behind = _meta_around(sop_class, syntax)
    group = before + _meta_element(0x0003, b"UI", sop_instance.encode()) + behind
    length = b"\x02\0\0\0UL\x04\0" + _LONG.pack(len(group))
    return bytes(128) + b"DICM" + length + group


def _copy(source: int, start: int, end: int, target: BinaryIO) -> None:
    """Copy bytes from a file to the end of another."""
    try:
        descriptor = target.fileno()
    except OSError:  # in memory
        target.write(os.pread(source, end - start, start))
        return
    target.flush()
    while start < end:
        sent = os.sendfile(descriptor, source, start, end - start)
        if not sent:
            raise Reject(Reason.TRUNCATED)
        start += sent
    target.seek(0, os.SEEK_END)
