"""Which object a file is, and whether it is one that can be de-identified at all."""

from typing import NamedTuple

from shared.errors import Reason, Reject
from shared.identity import is_usable_uid
from shared.profile import Profile
from shared.profile.contents import Content, Policy

_CLASSES = {
    Content.DOCUMENTS: ("1.2.840.10008.5.1.4.1.1.104.",),
    Content.STRUCTURED_REPORTS: ("1.2.840.10008.5.1.4.1.1.88.",),
    Content.VIDEO: (
        "1.2.840.10008.5.1.4.1.1.77.1.1.1",  # endoscopic
        "1.2.840.10008.5.1.4.1.1.77.1.2.1",  # microscopic
        "1.2.840.10008.5.1.4.1.1.77.1.4.1",  # photographic
    ),
    Content.RAW_DATA: (
        "1.2.840.10008.5.1.4.1.1.66",  # Raw Data Storage; .66.1 and on are registrations and such
        "1.3.12.2.1107.5.9.1",  # Siemens CSA Non-Image Storage
        "1.3.46.670589.11.0.0.12.1",  # Philips Private MR Spectrum Storage
        "1.3.46.670589.11.0.0.12.2",  # Philips Private MR Series Data Storage
        "1.3.46.670589.11.0.0.12.4",  # Philips Private MR Examcard Storage
    ),
}
"""By SOP Class UID (PS3.6 A; conformance statements); one that ends in a dot is a whole family."""
_KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
# MPEG2, MPEG-4 and HEVC, fragmentable or not (PS3.6 table A-1).
_VIDEO_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_IN_WORDS = {
    Content.DOCUMENTS: "an encapsulated document",
    Content.STRUCTURED_REPORTS: "a structured report",
    Content.VIDEO: "a video",
    Content.RAW_DATA: "raw data of a vendor",
}


class ObjectUids(NamedTuple):
    """Which object a file is, or is expected to be."""

    study: str
    series: str
    instance: str


def check(found: ObjectUids, sop_class_uid: str, expected: ObjectUids | None) -> None:
    """Refuse an object that is not whole, or not the expected one.

    Raises
    ------
    Reject
        It is refused.
    """
    if not found.study or not found.instance or not sop_class_uid:
        raise Reject(Reason.MISSING_UID)
    if not all(is_usable_uid(uid) for uid in found if uid):
        raise Reject(Reason.NOT_DEIDENTIFIABLE, "its own UIDs are none, or several")
    if expected is not None and found != expected:
        raise Reject(Reason.NOT_DEIDENTIFIABLE, "not the object that was catalogued")


def check_permitted(profile: Profile, sop_class_uid: str, transfer_syntax_uid: str) -> None:
    """Refuse an object of a kind that the profile does not let pass.

    Raises
    ------
    Reject
        It is refused.
    """
    for content in _contents(sop_class_uid, transfer_syntax_uid):
        if profile.policy(content) is Policy.HOLD:
            raise Reject(
                Reason.NOT_DEIDENTIFIABLE, f"{_IN_WORDS[content]}: the project does not permit it"
            )


def _contents(sop_class_uid: str, transfer_syntax_uid: str) -> list[Content]:
    found = [
        content
        for content, classes in _CLASSES.items()
        if sop_class_uid != _KEY_OBJECTS and any(_is_of(sop_class_uid, one) for one in classes)
    ]
    if transfer_syntax_uid.startswith(_VIDEO_SYNTAXES):
        found.append(Content.VIDEO)
    return found


def _is_of(sop_class_uid: str, sop_class: str) -> bool:
    if sop_class.endswith("."):
        return sop_class_uid.startswith(sop_class)
    return sop_class_uid == sop_class
