"""Which UIDs name a thing and are mapped, and which name a kind of thing and stay."""

import re

from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary

from shared.profile import Action, Profile
from shared.schemes import Identifiers

_KIND_KEYWORDS = re.compile(
    "SOPClass|TransferSyntax|CodingSchemeUID|ContextUID|MappingResourceUID|ClassUID$"
)
KINDS = frozenset(tag for tag, entry in DicomDictionary.items() if _KIND_KEYWORDS.search(entry[4]))
"""Elements whose UIDs are classes, syntaxes and schemes, well known or private: never mapped."""

_OWN = frozenset({0x00080018, 0x0020000D, 0x0020000E})
"""The object's own UIDs: always mapped, whatever they look like."""


def released(identifiers: Identifiers, tag: int, action: Action | None, uid: str) -> str:
    """The UID that stands in `tag` afterwards. Those that DICOM registers stay (PS3.6 A)."""
    if is_registered(uid) and tag not in _OWN:
        return uid
    return identifiers.uid(tag, action, uid)


def is_registered(uid: str) -> bool:
    """Whether DICOM itself gave the UID a meaning, the same everywhere.

    Others below its root are no reason to keep one: vendors make instance UIDs of a SOP class and a
    date (decision 0008).
    """
    return uid in UID_dictionary


def keeps_uids(profile: Profile) -> bool:
    """Whether objects keep their own UIDs, and so all others."""
    rules = [profile.get(tag) for tag in _OWN]
    return all(rule is not None and rule.action is Action.KEEP for rule in rules)
