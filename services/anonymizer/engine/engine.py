"""The pydicom engine: reads a data set, applies the table at every depth, writes it again.

It decides element by element from the plan's profile; elements whose value does not change are
written back as the bytes they were.
"""

import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from services.anonymizer.engine import additions, values
from services.anonymizer.engine.dates import shifted
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.sweep import Identity
from services.anonymizer.engine.uids import KINDS, released
from shared.errors import Reason, Reject
from shared.header import read_header
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, keyed_hash
from shared.profile import Action, Rule

_SPECIFIC_CHARACTER_SET = 0x00080005
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
# Documents can't be de-identified here, whatever class they come in: they are held.
_ENCAPSULATED_DOCUMENT = 0x00420011
_ENCAPSULATED_CLASSES = "1.2.840.10008.5.1.4.1.1.104."
_CTP_CREATOR = 0x00130010
_TEXT_VRS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
# Codes, numbers and times: a part of them can't be replaced, but all of one can be an identifier.
_CODE_VRS = frozenset({"AS", "CS", "DA", "DS", "DT", "IS", "TM"})


class ObjectUids(NamedTuple):
    """Which object a file is expected to be."""

    study: str
    series: str
    instance: str


@dataclass
class Report:
    """What was remarkable about one object. Holds no original values."""

    warnings: list[str] = field(default_factory=list)


def deidentify(
    source: Path, target: BinaryIO, plan: Plan, expected: ObjectUids | None = None
) -> Report:
    """Write the de-identified copy of the Part 10 file `source` to `target`.

    Parameters
    ----------
    expected
        The object that the file must be, if that is known.

    Raises
    ------
    Reject
        The object can't be de-identified with certainty.
    OSError
        A file can't be read or written.
    """
    with warnings.catch_warnings():
        # pydicom's warnings quote values.
        warnings.simplefilter("ignore")
        try:
            data_set = pydicom.dcmread(source)
            _require_agreement(source, data_set)
            work = _Object(data_set, plan, expected)
            work.deidentify()
            pydicom.dcmwrite(target, data_set, enforce_file_format=True)
        except (Reject, OSError):
            raise
        except Exception as error:
            # Whatever pydicom stumbles over in a hostile file. Its text may quote values.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, type(error).__qualname__) from None
    return work.report


def _require_agreement(source: Path, data_set: Dataset) -> None:
    """Two readers must see the same elements: where they differ, something could hide."""
    if set(read_header(source).tags) != set(map(int, data_set.keys())):
        raise Reject(Reason.NOT_DEIDENTIFIABLE, "readers disagree on its elements")


class _Object:
    """One object on its way through the table."""

    def __init__(self, data_set: Dataset, plan: Plan, expected: ObjectUids | None) -> None:
        self._data_set, self._plan = data_set, plan
        found = ObjectUids(
            *(
                str(data_set.get(keyword, "")).strip(" \0")
                for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
        )
        if not found.study or not found.instance or "SOPClassUID" not in data_set:
            raise Reject(Reason.MISSING_UID)
        if str(data_set.SOPClassUID).startswith(_ENCAPSULATED_CLASSES):
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "an encapsulated document")
        if expected is not None and found != expected:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "not the object that was catalogued")
        self._study_uid = found.study
        self._identity = Identity(data_set, plan.key, plan.participant)
        self.report = Report()

    def deidentify(self) -> None:
        """Apply the table, add what must be there, and make the file meta information new."""
        self._walk(self._data_set)
        additions.add_required(self._data_set, self._plan, self._placeholder)
        self._renew_file_meta()

    def _walk(self, data_set: Dataset) -> None:
        additions.remove_foreign_block(data_set)
        for tag in list(data_set.keys()):
            if tag.element == 0:
                del data_set[tag]  # group lengths, retired: they would be wrong
                continue
            if tag == _ENCAPSULATED_DOCUMENT:
                raise Reject(Reason.NOT_DEIDENTIFIABLE, "an encapsulated document")
            rule = self._plan.profile.get(tag)
            if rule is None or rule.action in (Action.KEEP, Action.PROCESS):
                self._keep(data_set, tag, unlisted=rule is None)
            elif rule.action is Action.REMOVE:
                del data_set[tag]
            else:
                self._apply(data_set, tag, rule)

    def _keep(self, data_set: Dataset, tag: BaseTag, *, unlisted: bool) -> None:
        vr = values.vr_of(data_set, tag)
        if vr == "SQ" or values.as_sequence(data_set, tag):
            for item in data_set[tag].value or ():
                self._walk(item)
        elif vr == "UI":
            if unlisted and tag not in KINDS:
                self._map_uids(data_set, tag)
        elif tag.is_private_creator or tag == _SPECIFIC_CHARACTER_SET:
            return  # structure: other elements are read by it
        elif vr in _TEXT_VRS:
            self._sweep_text(data_set, tag)
        elif vr in _CODE_VRS:
            values.change_texts(
                data_set, tag, lambda text: "" if self._identity.is_one(text) else text
            )
        elif tag not in _PIXELS:
            # Bytes, and numbers too: in implicit VR a dictionary only guesses that they are some.
            self._sweep_bytes(data_set, tag)

    def _apply(self, data_set: Dataset, tag: BaseTag, rule: Rule) -> None:
        if values.vr_of(data_set, tag) == "SQ" and rule.action is not Action.EMPTY:
            # The table names a value where this object has a sequence: no value can be right.
            if rule.action is not Action.CODES:
                raise Reject(Reason.NOT_DEIDENTIFIABLE, f"{tag} is a sequence")
            self._keep(data_set, tag, unlisted=False)
        elif rule.action is Action.EMPTY:
            data_set[tag].value = data_set[tag].empty_value
        elif rule.action in (Action.HASHUID, Action.HASHUID_PROJECT):
            self._map_uids(data_set, tag)
        elif rule.action is Action.INCREMENTDATE:
            self._shift(data_set, tag)
        elif rule.action is Action.HASH:
            values.change_texts(data_set, tag, partial(keyed_hash, self._plan.key, "value"))
        else:
            self._replace(data_set, tag, rule)

    def _replace(self, data_set: Dataset, tag: BaseTag, rule: Rule) -> None:
        value = self._placeholder(rule)
        if value is None:
            self._keep(data_set, tag, unlisted=False)
        else:
            encodings = additions.encodings_of(data_set, self._data_set)
            data_set[tag].value = additions.fitting(value, encodings)

    def _placeholder(self, rule: Rule) -> str | None:
        """The text that `rule` puts in place of a value; None keeps the value."""
        plan = self._plan
        return {
            Action.LITERAL: rule.value,
            Action.PARTICIPANT: plan.participant,
            Action.PROJECT: plan.project,
            Action.SITE_NAME: plan.site,
            Action.SITE_ID: plan.site,
            Action.STUDYHASH: keyed_hash(plan.key, "study", self._study_uid),
        }.get(rule.action)

    # Values

    def _map_uids(self, data_set: Dataset, tag: BaseTag) -> None:
        values.change_texts(data_set, tag, partial(released, self._plan.key, tag))

    def _shift(self, data_set: Dataset, tag: BaseTag) -> None:
        def move(value: str) -> str:
            moved = shifted(value, self._plan.date_shift_days)
            if moved is None:
                self.report.warnings.append(f"malformed date emptied: {tag}")
            return moved or ""

        values.change_texts(data_set, tag, move)

    def _sweep_text(self, data_set: Dataset, tag: BaseTag) -> None:
        if any("\ufffd" in text for text in values.texts_of(data_set, tag)):
            # Not readable in the object's character set, so searched as bytes.
            self._sweep_bytes(data_set, tag)
        else:
            values.change_texts(data_set, tag, self._identity.clean_text)

    def _sweep_bytes(self, data_set: Dataset, tag: BaseTag) -> None:
        raw = values.raw_of(data_set, tag)
        cleaned = self._identity.clean_bytes(raw) if raw else raw
        if cleaned != raw:
            values.change_bytes(data_set, tag, cleaned)

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
