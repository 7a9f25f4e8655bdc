"""The pydicom engine: reads a data set, applies the table at every depth, writes it again.

It decides element by element from the plan's profile; elements that it does not touch are written
back as the bytes they were.
"""

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from services.anonymizer.engine import additions
from services.anonymizer.engine.dates import shifted_range
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.sweep import Identity
from shared.errors import Reason, Reject
from shared.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    keyed_hash,
    keyed_uid,
)
from shared.profile import Action, Rule

WELL_KNOWN = "1.2.840.10008."
"""Root of the UIDs that DICOM itself assigns: classes, syntaxes, schemes. Never mapped."""
# Unlisted UIDs that name a kind of thing and not a thing: coding schemes, mapping resources,
# implementations.
_KINDS = frozenset({0x0008010C, 0x00080118, 0x00020012, 0x00041514})
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
"""Encapsulated documents: their content can't be de-identified here, so they are held."""
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR", "AE", "CS"})
_BYTE_VRS = frozenset({"OB", "OW", "UN"})
_LONGEST_HASH = 16


@dataclass
class Report:
    """What was done to one object. Holds no original values."""

    actions: Counter[str] = field(default_factory=Counter)
    """How often each action was applied."""
    warnings: list[str] = field(default_factory=list)


def deidentify(source: Path, target: BinaryIO, plan: Plan) -> Report:
    """Write the de-identified copy of the Part 10 file `source` to `target`.

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
            work = _Object(data_set, plan)
            work.deidentify()
            pydicom.dcmwrite(target, data_set, enforce_file_format=True)
        except (Reject, OSError):
            raise
        except Exception as error:
            # Whatever pydicom stumbles over in a hostile file. Its text may quote values.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, type(error).__qualname__) from None
    return work.report


class _Object:
    """One object on its way through the table."""

    def __init__(self, data_set: Dataset, plan: Plan) -> None:
        self._data_set, self._plan = data_set, plan
        self._study_uid = str(data_set.get("StudyInstanceUID", "")).strip(" \0")
        if not self._study_uid or not str(data_set.get("SOPInstanceUID", "")).strip(" \0"):
            raise Reject(Reason.MISSING_UID)
        if str(data_set.get("SOPClassUID", "")).startswith(_ENCAPSULATED):
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "an encapsulated document")
        self._identity = Identity(data_set, plan.key, plan.participant)
        self.report = Report()

    def deidentify(self) -> None:
        """Apply the table, add what must be there, and make the file meta information new."""
        self._walk(self._data_set)
        additions.add_required(self._data_set, self._plan, self._placeholder)
        self._renew_file_meta()

    def _walk(self, data_set: Dataset) -> None:
        for tag in list(data_set.keys()):
            if tag.element == 0:
                del data_set[tag]  # group lengths, retired: they would be wrong
                continue
            rule = self._plan.profile.get(tag)
            action = rule.action if rule else Action.KEEP
            self.report.actions[action] += 1
            if rule is None or action in (Action.KEEP, Action.PROCESS):
                self._keep(data_set, tag, unlisted=rule is None)
            elif action is Action.REMOVE:
                del data_set[tag]
            else:
                self._apply(data_set, tag, rule)

    def _keep(self, data_set: Dataset, tag: BaseTag, *, unlisted: bool) -> None:
        vr = _vr(data_set, tag)
        if vr == "SQ":
            for item in data_set[tag].value or ():
                self._walk(item)
        elif vr == "UI":
            if unlisted and tag not in _KINDS:
                self._map_uids(data_set[tag])
        elif vr in _TEXT_VRS:
            self._sweep_text(data_set[tag])
        elif vr in _BYTE_VRS and tag.group != 0x7FE0:
            self._sweep_bytes(data_set, tag)

    def _apply(self, data_set: Dataset, tag: BaseTag, rule: Rule) -> None:
        element = data_set[tag]
        if rule.action is Action.EMPTY:
            element.value = element.empty_value
        elif rule.action in (Action.HASHUID, Action.HASHUID_PROJECT):
            self._map_uids(element)
        elif rule.action is Action.INCREMENTDATE:
            self._shift(element)
        elif rule.action is Action.HASH:
            self._each(element, self._hash)
        else:
            self._replace(data_set, element, rule)

    def _replace(self, data_set: Dataset, element: DataElement, rule: Rule) -> None:
        value = self._placeholder(rule)
        if value is None:
            self._keep(data_set, element.tag, unlisted=False)
            return
        if element.VR == "SQ":
            # The table names a value where this object has a sequence: no value can be right.
            raise Reject(Reason.NOT_DEIDENTIFIABLE, f"({element.tag}) is a sequence")
        element.value = additions.fitting(value, additions.encodings_of(data_set, self._data_set))

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

    def _map_uids(self, element: DataElement) -> None:
        self._each(
            element,
            lambda uid: uid if uid.startswith(WELL_KNOWN) else keyed_uid(self._plan.key, uid),
        )

    def _hash(self, value: str) -> str:
        return keyed_hash(self._plan.key, "value", value, _LONGEST_HASH)

    def _shift(self, element: DataElement) -> None:
        def move(value: str) -> str:
            moved = shifted_range(value, self._plan.date_shift_days)
            if moved is None:
                self.report.warnings.append(f"malformed date emptied: ({element.tag})")
            return moved or ""

        self._each(element, move)

    def _sweep_text(self, element: DataElement) -> None:
        self._each(element, self._identity.clean_text)

    def _sweep_bytes(self, data_set: Dataset, tag: BaseTag) -> None:
        raw = data_set.get_item(tag).value
        if isinstance(raw, bytes):
            cleaned = self._identity.clean_bytes(raw)
            if cleaned != raw:
                data_set[tag].value = cleaned

    def _each(self, element: DataElement, change: Callable[[str], str]) -> None:
        """Change each of an element's text values, and only if there is a change."""
        value = element.value
        if value is None or value == "":
            return
        if isinstance(value, bytes):
            # A wrong VR: what should be text is stored as bytes.
            value = value.decode("latin-1")
        old = [str(one) for one in (value if isinstance(value, MultiValue) else [value])]
        new = [change(one.strip(" \0")) if one.strip(" \0") else "" for one in old]
        if [one.strip(" \0") for one in old] != new:
            element.value = new if len(new) > 1 else new[0]

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


def _vr(data_set: Dataset, tag: BaseTag) -> str:
    """The VR of an element, from the file or, in implicit VR, from the dictionary."""
    element: Any = data_set.get_item(tag)
    if isinstance(element, RawDataElement) and element.VR in (None, "UN"):
        if element.length == 0xFFFFFFFF:
            return "SQ"
        try:
            return dictionary_VR(tag)
        except KeyError:
            return str(data_set[tag].VR) if tag.is_private else "UN"
    return str(element.VR)
