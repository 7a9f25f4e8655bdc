"""What became of the parts of a STOW-RS request, and how that is answered (PS3.18 10.5.3)."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.api.dicomweb.attributes import Json, put

# PS3.18 table I.2-2, PS3.7 annex C
PROCESSING_FAILURE = 0x0110
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
NOT_UNDERSTOOD = 0xC000
OTHER_STUDY = 0xC409
"""Of the range "cannot understand": the instance is not of the study that the URL names."""


class Identity(NamedTuple):
    """Which instance a part is."""

    study: str
    sop_class: str
    sop_instance: str
    series: str


@dataclass
class Outcomes:
    """What became of one request's parts."""

    stored: list[Identity] = field(default_factory=list)
    failed: list[tuple[Identity, int]] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    """Reasons of failures of what can't be named."""
    broken: bool = False
    """The body itself ended too early, or was none."""
    too_large: bool = False

    def fail(self, reason: int, identity: Identity | None = None) -> None:
        """Note that a part was not taken."""
        if identity is None:
            self.others.append(reason)
        else:
            self.failed.append((identity, reason))

    @property
    def is_empty(self) -> bool:
        """Whether there was no part at all."""
        return not (self.stored or self.failed or self.others)

    @property
    def status(self) -> int:
        """The HTTP status (PS3.18 table 10.5.3-1)."""
        reasons = [*self.others, *(reason for _, reason in self.failed)]
        if self.stored:
            return 202 if reasons else 200
        if self.too_large:
            return 413
        if self.broken or self.is_empty:
            return 400
        return 503 if OUT_OF_RESOURCES in reasons else 409

    def answer(self, root: str) -> Json:
        """The Store Instances Response Module (PS3.18 I.2.1), with URLs below `root`."""
        found: Json = {}
        studies = {one.study for one in self.stored}
        put(found, "RetrieveURL", f"{root}/studies/{studies.pop()}" if len(studies) == 1 else "")
        if self.failed:
            items = [_item(one) | _reason(reason) for one, reason in self.failed]
            put(found, "FailedSOPSequence", *items)
        if self.stored:
            put(found, "ReferencedSOPSequence", *(_referenced(one, root) for one in self.stored))
        if self.others:
            put(found, "OtherFailuresSequence", *map(_reason, self.others))
        return found


def _item(one: Identity) -> Json:
    item: Json = {}
    put(item, "ReferencedSOPClassUID", one.sop_class)
    put(item, "ReferencedSOPInstanceUID", one.sop_instance)
    return item


def _referenced(one: Identity, root: str) -> Json:
    item = _item(one)
    put(item, "RetrieveURL", instance_url(root, one.study, one.series, one.sop_instance))
    return item


def _reason(reason: int) -> Json:
    item: Json = {}
    put(item, "FailureReason", reason)
    return item


def instance_url(root: str, study: Any, series: Any, instance: Any) -> str:
    """Where an instance is retrieved."""
    return f"{root}/studies/{study}/series/{series}/instances/{instance}"
