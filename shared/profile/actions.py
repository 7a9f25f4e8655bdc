"""What can be done with an element, and the placeholders that stand for values."""

from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """What is done with an element. The values are the words of the table."""

    KEEP = "keep"
    """Keep the value, after the identity sweep; descend into a sequence."""
    REMOVE = "remove"
    EMPTY = "empty"
    """Keep the element with no value."""
    HOLD = "hold"
    """Hold an object that has the element."""
    HASH = "hash"
    """Replace by the hash of the value (`shared.schemes`)."""
    HASHUID = "hashuid"
    """Replace by the mapped UID of the value."""
    HASHUID_PROJECT = "hashuid+PROJECTNAME"
    """The same; the legacy schemes make a difference (`shared.schemes`)."""
    INCREMENTDATE = "incrementdate"
    """Move by the project's whole number of days."""
    PROCESS = "process"
    """Descend into the sequence."""
    STUDYHASH = "STUDYHASH"
    """Replace by the hash of the study, 16 characters."""
    PARTICIPANT = "Re-Mapped"
    """Replace by the participant's pseudonym."""
    PROJECT = "PROJECTNAME"
    """Replace by the project's code."""
    SITE_NAME = "SITENAME"
    SITE_ID = "SITEID"
    BODY_PART = "BODYPART"
    """A placeholder that no transfer fills: the value is kept."""
    CODES = "codes"
    """One item per code of `Rule.value`, separated by slashes."""
    LITERAL = "literal"
    """Replace by `Rule.value`."""
    DUMMY = "dummy"
    """Replace by `DUMMIES` of the element's VR, also where it was empty: for what must have a
    value (PS3.15 E.3, `D`). A UID is mapped; a sequence gets one item with nothing in it."""
    REGEX = "regex"
    """Replace each match of `Rule.pattern` in each value by `Rule.value`, in which `\\1` to `\\9`
    stand for what the pattern's groups matched (`shared.profile.edits`); then the identity sweep,
    as for `KEEP`."""


DUMMIES = MappingProxyType(
    {
        **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), b"ANONYMIZED"),
        "AS": b"000Y",
        "DA": b"19000101",
        "DS": b"0",
        "DT": b"19000101000000",
        "IS": b"0",
        "TM": b"000000",
        "UR": b"urn:anonymized",
        **dict.fromkeys(("OB", "OW", "SS", "UN", "US"), bytes(2)),
        **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), bytes(4)),
        **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), bytes(8)),
    }
)
"""A legal value for each VR but UI and SQ, without padding (PS3.5 section 6.2)."""
