"""Which object a file is, and whether it is one that can be de-identified at all."""

from typing import NamedTuple

from shared.errors import Reason, Reject

# Documents can't be de-identified here, whatever class they come in: they are held.
_ENCAPSULATED_CLASSES = "1.2.840.10008.5.1.4.1.1.104."


class ObjectUids(NamedTuple):
    """Which object a file is, or is expected to be."""

    study: str
    series: str
    instance: str


def check(found: ObjectUids, sop_class_uid: str, expected: ObjectUids | None) -> None:
    """Refuse an object that is not the expected one, or not one that can be de-identified.

    Raises
    ------
    Reject
        It is refused.
    """
    if not found.study or not found.instance or not sop_class_uid:
        raise Reject(Reason.MISSING_UID)
    if sop_class_uid.startswith(_ENCAPSULATED_CLASSES):
        raise Reject(Reason.NOT_DEIDENTIFIABLE, "an encapsulated document")
    if expected is not None and found != expected:
        raise Reject(Reason.NOT_DEIDENTIFIABLE, "not the object that was catalogued")
