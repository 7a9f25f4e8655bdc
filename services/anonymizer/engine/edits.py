"""What must change in a raw header, as a list of edits.

Work on values is remembered: a series' images have most of their elements in common, byte for byte.
"""

import struct
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from services.anonymizer.engine import additions
from services.anonymizer.engine.actions import SPECIFIC_CHARACTER_SET, Decision, Do
from services.anonymizer.engine.context import Context, context
from services.anonymizer.engine.dates import malformed_date
from services.anonymizer.engine.found import Found
from services.anonymizer.engine.heads import Head, Unsure
from services.anonymizer.engine.identity import Collector, Kind
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.rawvalues import RawValues, codecs_of
from services.anonymizer.engine.report import Report
from services.anonymizer.engine.scanner import Scanner
from shared.errors import Reason, Reject

Edit = tuple[int, int, bytes]
"""Replace the bytes from start to stop."""

_place = itemgetter(0, 1)
_INSTANCE = 0x00080018
_LONG = struct.Struct("<L")
_REMEMBERED_VALUE = 1 << 16
"""Longest element that is remembered, bytes; longer ones differ from image to image anyway."""
_OVERHEAD = 200  # bytes of an entry besides its contents
_NEVER_SEEN = b"never seen"
_REMEMBERED = 1 << 22
"""Bytes of elements that are remembered of objects that identify themselves alike."""


class Prepared:
    """What is known about objects that identify themselves alike, in one encoding.

    Parameters
    ----------
    character_set
        The raw value of SpecificCharacterSet.
    """

    def __init__(self, settled: Context, character_set: bytes, *, implicit: bool) -> None:
        self._settled, self._implicit = settled, implicit
        self._values = RawValues(character_set, implicit=implicit)
        self.added = _added(settled, character_set, implicit=implicit)
        self.remembered: dict[tuple[str, bytes], bytes | None] = {}
        """What `renewed` gave, by creator and element."""
        self._size = 0
        self.malformed: dict[tuple[str, bytes], list[str]] = {}
        """What is reported of elements with a date that is none."""

    def released_instance(self, uid: str) -> str:
        """The released SOPInstanceUID for the original one."""
        return self._settled.actions.decide(_INSTANCE, "UI").texts(uid)

    def decide(self, head: Head, creator: str) -> Decision:
        """What is to be done with an element."""
        return self._settled.actions.decide(head.tag, head.vr, creator)

    def renewed(self, head: Head, creator: str, element: bytes, value: int) -> bytes | None:
        """The bytes that take the place of `element`; None when it stays, and empty when it goes.

        Parameters
        ----------
        value
            Where in `element` its value starts.
        """
        key = creator, element
        if key in self.remembered:
            return self.remembered[key]
        decision = self.decide(head, creator)
        warnings: list[str] = []
        if decision.do is Do.DESCEND:
            new, warnings = self._descended(element, value)
        elif head.vr == "SQ":
            new = _whole_sequence(decision, element[:value])
        else:
            new = self._values.renewed(decision, head, element, value)
            if decision.is_date and new is not None and self._lost(head, element, new, value):
                warnings.append(malformed_date(head.tag))
        if len(element) <= _REMEMBERED_VALUE:
            self._size += len(element) + len(new or b"") + _OVERHEAD
            if self._size > _REMEMBERED:
                # What varies from image to image has filled it up.
                self.remembered.clear()
                self.malformed.clear()
                self._size = 0
            self.remembered[key] = new
        if warnings:
            self.malformed[key] = warnings
        return new

    def _descended(self, sequence: bytes, value: int) -> tuple[bytes | None, list[str]]:
        """A sequence whose items' elements are decided one by one, and what is reported of it."""
        report = Report()
        found = Scanner(sequence, implicit=self._implicit, complete=True).scan_sequence(value)
        edits = header_edits(sequence, found, self, report, add=False)
        new = b"".join(applied(sequence, 0, len(sequence), edits)) if edits else None
        return new, report.warnings

    def _lost(self, head: Head, element: bytes, new: bytes, value: int) -> bool:
        if len(new) == len(element) and b"\\" not in element:
            return False  # the only value is as long as it was
        before, after = (self._values.texts(head, one[value:]) for one in (element, new))
        return sum(map(bool, before or ())) > sum(map(bool, after or ()))


def _added(settled: Context, character_set: bytes, *, implicit: bool) -> list[tuple[int, bytes]]:
    """The elements that every object gets, as bytes, in order."""
    data_set = Dataset()
    codecs = codecs_of(character_set)
    if character_set:
        data_set.SpecificCharacterSet = character_set.decode("latin-1").strip(" \0").split("\\")
    additions.add_required(data_set, settled)
    found = []
    for element in data_set:
        if element.tag != SPECIFIC_CHARACTER_SET:
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
            write_data_element(buffer, element, codecs)
            found.append((int(element.tag), buffer.getvalue()))
    return found


@lru_cache(maxsize=16)
def prepared_for(
    plan: Plan,
    uids: tuple[str, str, str],
    identifying: tuple[tuple[Kind, str, bytes], ...],
    character_set: bytes,
    implicit: bool,
) -> Prepared:
    """What is known about such objects; `uids` are of study, SOP class and modality."""
    collector = Collector(plan.participant)
    values = RawValues(character_set, implicit=implicit)
    collector.add_encodings(values.codecs)
    for kind, vr, raw in identifying:
        collector.add(kind, values.texts(Head(0, vr, kind, long=False), raw) or ())
    study, sop_class, modality = uids
    settled = context(plan, study, sop_class, modality, collector.collected())
    return Prepared(settled, character_set, implicit=implicit)


def header_edits(
    data: bytes, found: Found, prepared: Prepared, report: Report, *, add: bool
) -> list[Edit]:
    """Everything that changes in a data set's raw header, in order.

    Parameters
    ----------
    add
        Whether the elements that every object gets belong here.
    """
    edits, replaced = _insertions(found, prepared.added if add else [])
    remembered, skip = prepared.remembered, 0
    for record in found.records:
        head, creator, start, value, end = record
        if start < skip:
            continue
        if head.vr == "SQ" and (not end or start in replaced):
            new = _whole_sequence(prepared.decide(head, creator), data[start:value])
            skip = 0 if new is None else end or found.ends[start]
            if start in replaced:
                skip = replaced[start]
            elif new is not None:
                edits.append((start, skip, new))
            continue
        element = data[start:end]
        new = remembered.get((creator, element), _NEVER_SEEN)
        if new is _NEVER_SEEN:
            new = prepared.renewed(head, creator, element, value - start)
        if new is None or start in replaced:
            continue
        edits.append((start, end, new))
        report.warnings += prepared.malformed.get((creator, element), ())
    edits.sort(key=_place)
    lengths = _lengths(found, edits)
    if lengths:
        edits = sorted(edits + lengths, key=_place)
    return edits


def _insertions(found: Found, added: list[tuple[int, bytes]]) -> tuple[list[Edit], dict[int, int]]:
    """Where the elements go that every object gets; and which ones they replace, by start."""
    edits, replaced = [], {}
    for tag, new in added:
        place = bisect_left(found.tags, tag)
        start = found.starts[place] if place < len(found.starts) else found.end
        stop = start
        if place < len(found.tags) and found.tags[place] == tag:
            if tag in additions.ONLY_IF_MISSING:
                continue
            stop = found.starts[place + 1] if place + 1 < len(found.starts) else found.end
            replaced[start] = stop
        edits.append((start, stop, new))
    return edits, replaced


def _whole_sequence(decision: Decision, header: bytes) -> bytes | None:
    """What takes the place of a sequence; None when its items are looked at one by one."""
    if decision.do is Do.DESCEND:
        return None
    if decision.do is Do.REMOVE:
        return b""
    if decision.do is Do.HOLD:
        raise Reject(Reason.NOT_DEIDENTIFIABLE, decision.why)
    if decision.do is Do.WRITE and not decision.value:
        return header[:-4] + bytes(4)
    raise Unsure


def _lengths(found: Found, edits: list[Edit]) -> list[Edit]:
    """The new lengths of the sequences and items that hold edits."""
    starts = [start for start, _, _ in edits]
    grown = [0, *accumulate(len(new) - (stop - start) for start, stop, new in edits)]
    patches = []
    for place, start, end in found.containers:
        delta = grown[bisect_left(starts, end)] - grown[bisect_left(starts, start)]
        if delta:
            patches.append((place, place + 4, _LONG.pack(end - start + delta)))
    return patches


def applied(data: bytes, start: int, end: int, edits: list[Edit]) -> list[bytes]:
    """The pieces of `data` from `start` to `end` with `edits` made."""
    pieces: list[bytes] = []
    for first, last, new in edits:
        pieces += (data[start:first], new)
        start = last
    pieces.append(data[start:end])
    return pieces
