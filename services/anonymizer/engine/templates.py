"""What a series' headers have in common: compared as a whole, and written as a whole.

Two images that were scanned show which elements differ. From then on the runs between those are
compared in one go, and only the elements that differ are looked at. A header that does not fit is
scanned as if there were no template, and may make a better one.
"""

import threading
from collections import deque
from dataclasses import dataclass

from services.anonymizer.engine.edits import Edit, Prepared, applied
from services.anonymizer.engine.found import Found, Record, Told
from services.anonymizer.engine.heads import Head, Unsure
from services.anonymizer.engine.identity import Kind
from services.anonymizer.engine.objects import ObjectUids
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Report
from services.anonymizer.engine.scanner import Scanner
from services.anonymizer.engine.sequences import LONGEST
from services.anonymizer.engine.tokens import is_uid_like

_INSTANCE = 0x00080018
_AT_HAND = 8
"""Templates that are tried: of the series that came last."""
_MOST_VARYING = 64
"""Elements; with more of them a template gains nothing."""
_DATE_PART = 8
_UNDEFINED = b"\xff\xff\xff\xff"
_FIRST_READ, _ROOM = 1 << 14, 1 << 12
_LARGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Scanned:
    """A header that was scanned, and what became of it."""

    plan: Plan
    prepared: Prepared
    start: tuple[str, tuple[bytes, ...]]
    """Transfer syntax and AE titles of the file meta information."""
    uids: ObjectUids
    sop_class: str
    implicit: bool
    offset: int
    """Where in `data` the data set starts."""
    data: bytes
    found: Found
    edits: list[Edit]


@dataclass(frozen=True, slots=True)
class _Varying:
    """An element that differs from image to image."""

    head: Head
    creator: str
    header: bytes
    """What stands before the length: tag and VR."""
    value: int
    """Bytes before the value."""
    implicit: bool
    date: bytes
    """The date part that the value must have: the object is known by it. Empty for any."""
    told: Told | None
    """What the elements of a sequence must tell: the object is known by it."""

    def end(self, data: bytes, position: int) -> int:
        """Where the element ends that starts at `position`."""
        value = position + self.value
        return value + int.from_bytes(data[position + len(self.header) : value], "little")

    def fits(self, element: bytes) -> bool:
        """Whether an object with this element is known by the same as the template's."""
        if self.head.vr == "SQ":
            told = _told(element, self.value, implicit=self.implicit)
            return told is not None and told == self.told
        value = element[self.value :]
        if self.head.tag == _INSTANCE:
            return value.isascii() and is_uid_like(value.decode("ascii").strip(" \0"))
        return not self.date or (value.startswith(self.date) and b"\\" not in value)


@dataclass(frozen=True)
class Filled:
    """A header that fitted a template."""

    template: "Template"
    instance: str
    """The SOPInstanceUID."""
    pieces: list[bytes]
    end: int
    """Where the header ends."""


class Template:
    """The common parts of a series' headers.

    Parameters
    ----------
    scanned
        One of the series.
    varying
        Tags of the elements that differ, all at the top level.
    """

    def __init__(self, scanned: Scanned, varying: frozenset[int]) -> None:
        self.scanned, self.varying = scanned, varying
        self._parts: list[tuple[bytes, bytes, _Varying | None]] = []
        position = scanned.offset
        for record in _records(scanned.found, varying):
            self._add_run(position, record[2])
            self._parts[-1] = (*self._parts[-1][:2], _varying(scanned, record))
            position = record[4]
        self._add_run(position, scanned.found.end)

    def _add_run(self, start: int, end: int) -> None:
        scanned = self.scanned
        # An insertion before what follows the run belongs to it.
        edits = [edit for edit in scanned.edits if start <= edit[0] and edit[1] <= end]
        edits = [edit for edit in edits if edit[0] < end or edit[0] == edit[1]]
        common = b"".join(applied(scanned.data, start, end, edits))
        self._parts.append((scanned.data[start:end], common, None))

    def fill(self, data: bytes, position: int, report: Report) -> Filled | None:
        """The released header of another image; None when it does not fit.

        Parameters
        ----------
        position
            Where in `data` the data set starts.
        """
        prepared = self.scanned.prepared
        pieces: list[bytes] = []
        warned: list[str] = []
        instance = ""
        for common, released, varying in self._parts:
            if not data.startswith(common, position):
                return None
            position += len(common)
            pieces.append(released)
            if varying is None:
                break
            head = varying.head
            if not data.startswith(varying.header, position):
                return None
            end = varying.end(data, position)
            element = data[position:end]
            if end > len(data) or not varying.fits(element):
                return None
            new = prepared.renewed(head, varying.creator, element, varying.value)
            pieces.append(element if new is None else new)
            warned += prepared.malformed.get((varying.creator, element), ())
            if head.tag == _INSTANCE:
                instance = element[varying.value :].decode("ascii").strip(" \0")
            position = end
        report.warnings += warned
        return Filled(self, instance or self.scanned.uids.instance, pieces, position)


def _records(found: Found, tags: frozenset[int]) -> list[Record]:
    """The records of top-level elements, in order, all with their ends."""
    records = [record for record in found.top if record[0].tag in tags]
    return [(*record[:4], record[4] or found.ends[record[2]]) for record in records]


def _varying(scanned: Scanned, record: Record) -> _Varying:
    head, creator, start, value, end = record
    data = scanned.data
    header = data[start : value - (4 if scanned.implicit or head.long else 2)]
    date = data[value : value + _DATE_PART] if head.kind is Kind.DATE else b""
    told = None
    if head.vr == "SQ":
        told = _told(data[start:end], value - start, implicit=scanned.implicit)
    return _Varying(head, creator, header, value - start, scanned.implicit, date, told)


def _told(sequence: bytes, value: int, *, implicit: bool) -> Told | None:
    """What a sequence's elements tell; None when the sequence can't be looked at by itself."""
    if len(sequence) > LONGEST or sequence[value - 4 : value] == _UNDEFINED:
        return None
    try:
        scanner = Scanner(sequence, implicit=implicit, complete=True)
        return scanner.scan_sequence(value).identifying
    except Unsure:
        return None


def differing(one: Scanned, other: Scanned) -> frozenset[int] | None:
    """The tags of what differs between two headers; None when no template can come of them."""
    if one.found.tags != other.found.tags:
        return None
    tags = set()
    for place, tag in enumerate(one.found.tags):
        if _element(one, place) != _element(other, place):
            tags.add(tag)
    added = {tag for tag, _ in one.prepared.added}
    if len(tags) > _MOST_VARYING or tags & added:
        return None
    records = _records(other.found, frozenset(tags))
    if not all(_may_vary(record, other) for record in records):
        return None
    return frozenset(tags)


def _may_vary(record: Record, scanned: Scanned) -> bool:
    """Whether an element may differ in a series without making another kind of object of it."""
    head, _, start, value, end = record
    data = scanned.data
    if not head.is_plain:
        return False
    if head.vr == "SQ":
        return _told(data[start:end], value - start, implicit=scanned.implicit) is not None
    if head.kind is Kind.DATE:
        date = data[value : min(end, value + _DATE_PART)]
        return len(date) == _DATE_PART and date.isdigit()
    return head.tag == _INSTANCE or not head.tells


def _element(scanned: Scanned, place: int) -> bytes:
    starts = scanned.found.starts
    end = starts[place + 1] if place + 1 < len(starts) else scanned.found.end
    return scanned.data[starts[place] : end]


class Templates(threading.local):
    """The templates of the series that came last, for each thread its own."""

    def __init__(self) -> None:
        self._templates: deque[Template] = deque(maxlen=_AT_HAND)
        self._last: Scanned | None = None
        self.first_read = _FIRST_READ
        """How much of a file is read first, bytes: enough for the headers that came before."""

    def fill(
        self,
        plan: Plan,
        start: tuple[str, tuple[bytes, ...]],
        data: bytes,
        position: int,
        report: Report,
    ) -> Filled | None:
        """The released header by the first template that fits; None when none does."""
        for template in self._templates:
            known = template.scanned
            if known.start == start and known.plan == plan:
                filled = template.fill(data, position, report)
                if filled is not None:
                    self._expect(filled.end)
                    return filled
        return None

    def learn(self, scanned: Scanned) -> None:
        """Make a template of this header and the one before, if they are alike."""
        if len(scanned.data) > _LARGEST_HEADER:
            return
        self._expect(scanned.found.end)
        last, self._last = self._last, scanned
        if last is None or last.prepared is not scanned.prepared or last.start != scanned.start:
            return
        tags = differing(last, scanned)
        if tags is None:
            return
        for template in list(self._templates):
            if template.scanned.prepared is scanned.prepared:
                tags |= template.varying
                self._templates.remove(template)
        if len(tags) <= _MOST_VARYING and set(tags) <= set(scanned.found.tags):
            self._templates.appendleft(Template(scanned, tags))

    def _expect(self, end: int) -> None:
        """Read as much of the next files as such a header takes; little by little less."""
        wanted = max(_FIRST_READ, end + _ROOM)
        self.first_read = max(wanted, self.first_read - (self.first_read >> 4))
