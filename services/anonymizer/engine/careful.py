"""The careful reader: any object that pydicom reads, element by element, through its data set.

Slow and plain. It takes what the scanner can't (deflated, big endian, oddities of vendors), and is
what the scanner is compared with. Elements whose value does not change are written back as the
bytes they were.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from services.anonymizer.engine import additions, content, values
from services.anonymizer.engine.actions import Decision, Do
from services.anonymizer.engine.context import Context, context
from services.anonymizer.engine.dates import malformed_date
from services.anonymizer.engine.identity import AE_TITLES_IN_META, Collector, Kind, kind_of
from services.anonymizer.engine.objects import ObjectUids, check, check_permitted
from services.anonymizer.engine.outline import Outline
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.report import Change, Report, element_path
from shared.errors import Reason, Reject
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def deidentify(
    source: Path, target: BinaryIO, plan: Plan, expected: ObjectUids | None, report: Report
) -> None:
    """Write the de-identified copy of `source` to `target`; as `engine.deidentify`.

    Raises
    ------
    Reject
        The object can't be de-identified with certainty.
    Exception
        Whatever pydicom stumbles over in a hostile file.
    """
    with Outline(source) as outline:
        data_set = outline.read()
        if outline.tags != set(map(int, data_set.keys())):
            # Two readers must see the same elements: where they differ, something could hide.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "readers disagree on its elements")
        _deidentify(data_set, plan, expected, report)
        outline.write(data_set, target)


def _deidentify(data_set: Dataset, plan: Plan, expected: ObjectUids | None, report: Report) -> None:
    found = ObjectUids(
        *(_text(data_set, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID",
                                                   "SOPInstanceUID"))
    )  # fmt: skip
    sop_class = _text(data_set, "SOPClassUID")
    check_permitted(plan.profile, sop_class, data_set.file_meta.TransferSyntaxUID)
    check(found, sop_class, expected)
    collector = Collector(plan.participant)
    _collect(data_set, collector)
    settled = context(
        plan,
        found.study,
        sop_class,
        _text(data_set, "Modality"),
        collector.collected(),
        big_endian=not data_set.original_encoding[1],
    )
    _Object(data_set, settled, report).deidentify()


def _text(data_set: Dataset, keyword: str) -> str:
    return str(data_set.get(keyword) or "").strip(" \0")


def _collect(data_set: Dataset, collector: Collector) -> None:
    for element in data_set.file_meta:
        if element.tag in AE_TITLES_IN_META:
            collector.add(Kind.ID, [str(element.value).strip(" \0")])
    for level in _every_level(data_set):
        collector.add_encodings(values.encodings_of(level))
        for tag in list(level.keys()):
            kind = kind_of(tag, values.vr_of(level, tag))
            if kind:
                collector.add(kind, values.texts_of(level, tag))


def _every_level(data_set: Dataset) -> Iterator[Dataset]:
    yield data_set
    for tag in list(data_set.keys()):
        if values.vr_of(data_set, tag) == "SQ" or values.as_sequence(data_set, tag):
            for item in data_set[tag].value or ():
                yield from _every_level(item)


class _Object:
    """One object on its way through the table."""

    def __init__(self, data_set: Dataset, settled: Context, report: Report) -> None:
        self._data_set, self._settled, self._report = data_set, settled, report
        self._has_content = False
        """Whether it has content items that were cleaned."""

    def deidentify(self) -> None:
        """Apply the table, add what must be there, and make the file meta information new."""
        had = frozenset(map(int, self._data_set.keys()))
        self._walk(self._data_set, ())
        additions.add_required(self._data_set, self._settled, had, content=self._has_content)
        self._renew_file_meta()

    def _walk(self, data_set: Dataset, place: tuple[int, ...]) -> None:
        additions.remove_foreign_block(data_set)
        by_concept = content.decisions(data_set, self._settled.actions)
        self._has_content |= bool(by_concept and place)
        for tag in list(data_set.keys()):
            vr = values.vr_of(data_set, tag)
            if vr != "SQ" and values.as_sequence(data_set, tag):
                vr = "SQ"
            decision = by_concept.get(tag) or self._settled.actions.decide(
                tag, vr, _creator(data_set, tag)
            )
            self._do(data_set, tag, decision, (*place, int(tag)))

    def _do(
        self, data_set: Dataset, tag: BaseTag, decision: Decision, place: tuple[int, ...]
    ) -> None:
        if decision.do is Do.HOLD:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, decision.why)
        if decision.do is Do.REMOVE:
            del data_set[tag]
            self._note(place, "removed", decision)
        elif decision.do is Do.DESCEND:
            for number, item in enumerate(data_set[tag].value or (), start=1):
                self._walk(item, (*place, number))
        elif decision.do is Do.WRITE:
            self._write(data_set, tag, decision.value)
            self._note(place, "written" if decision.value else "emptied", decision)
        elif decision.do is not Do.LEAVE and self._change(data_set, tag, decision, place):
            self._note(place, "changed", decision)

    def _note(self, place: tuple[int, ...], action: str, decision: Decision) -> None:
        self._report.changes.append(Change(element_path(*place), action, decision.why))

    def _change(
        self, data_set: Dataset, tag: BaseTag, decision: Decision, place: tuple[int, ...]
    ) -> bool:
        by_bytes = decision.do is Do.BYTES
        if decision.do is Do.SWEEP:
            # Not readable in the object's character set: looked at as bytes.
            by_bytes = any("\ufffd" in text for text in values.texts_of(data_set, tag))
        if by_bytes:
            return self._change_bytes(data_set, tag, decision)
        old = values.texts_of(data_set, tag)
        if decision.also_empty and not any(old):
            self._write(data_set, tag, decision.texts(""))
            return True
        changed = values.change_texts(data_set, tag, decision.texts)
        if decision.is_date and sum(map(bool, old)) > sum(
            map(bool, values.texts_of(data_set, tag))
        ):
            self._report.warnings.append(malformed_date(int(tag)))
        return changed

    def _change_bytes(self, data_set: Dataset, tag: BaseTag, decision: Decision) -> bool:
        raw = values.raw_of(data_set, tag)
        if not raw:
            return False
        cleaned = decision.raw(raw)
        if cleaned is None:
            del data_set[tag]
        elif cleaned != raw:
            values.change_bytes(data_set, tag, cleaned)
        return cleaned != raw

    def _write(self, data_set: Dataset, tag: BaseTag, value: str) -> None:
        if not value:
            data_set[tag].value = data_set[tag].empty_value
        else:
            encodings = additions.encodings_of(data_set, self._data_set)
            data_set[tag].value = additions.fitting(value, encodings)

    def _renew_file_meta(self) -> None:
        """Only what a file needs: AE titles and private information go (PS3.10 table 7.1-1)."""
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = self._data_set.file_meta.TransferSyntaxUID
        meta.MediaStorageSOPClassUID = self._data_set.SOPClassUID
        meta.MediaStorageSOPInstanceUID = self._data_set.SOPInstanceUID
        meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        self._data_set.file_meta = meta
        self._data_set.preamble = bytes(128)


def _creator(data_set: Dataset, tag: BaseTag) -> str:
    """The creator of the private block that `tag` is in, or opens (PS3.5 section 7.8.1)."""
    if not (tag.is_private_creator or (tag.is_private and tag.element >= 0x1000)):
        return ""
    block = tag if tag.is_private_creator else Tag(tag.group, tag.element >> 8)
    if block not in data_set:
        return ""
    element: Any = data_set.get_item(block)
    if isinstance(element, DataElement) and not isinstance(element.value, str):
        return ""
    return next(iter(values.texts_of(data_set, block)), "")
