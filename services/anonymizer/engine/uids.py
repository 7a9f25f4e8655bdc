"""Which UIDs name a thing and are mapped, and which name a kind of thing and stay."""

import re

from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary

from shared.profile import Action
from shared.schemes import Identifiers

_KIND_KEYWORDS = re.compile(
    "SOPClass|TransferSyntax|CodingSchemeUID|ContextUID|MappingResourceUID|ClassUID$"
)
KINDS = frozenset(tag for tag, entry in DicomDictionary.items() if _KIND_KEYWORDS.search(entry[4]))
"""Elements whose UIDs are classes, syntaxes and schemes, well known or private: never mapped."""

_OWN = frozenset({0x00080018, 0x0020000D, 0x0020000E})
"""The object's own UIDs: always mapped, whatever they look like."""


def released(identifiers: Identifiers, tag: int, action: Action | None, uid: str) -> str:
    """The UID that stands in `tag` afterwards. UIDs that DICOM itself registers stay (PS3.6 A)."""
    if uid in UID_dictionary and tag not in _OWN:
        return uid
    return identifiers.uid(tag, action, uid)
