"""What rows of the table are known by, and how a project's profile names their elements."""

from shared.profile import Rule
from shared.profile.elements import (
    ElementError,
    Elements,
    private_element,
    standard_elements,
)
from shared.profile.format import Entry, When
from shared.profile.model import ONE_ELEMENT

_WHOLE_GROUPS = 0xFFFF0000


def key_of(entry: Entry) -> str:
    """What the row of a project's rule is known by; where that is no element, by what it says."""
    found = elements_of(entry)
    if found is None:
        return f"?{entry.creator}/{entry.element}"
    return row_key(found.tag, found.mask, entry.creator.strip(), entry.when)


def row_key(tag: int, mask: int, creator: str = "", when: When | None = None) -> str:
    """What a row is known by: its elements, and the objects that it is for."""
    parts = [f"{tag:08x}", f"{mask:08x}", creator]
    if when is not None:
        parts += [" ".join(sorted(when.modality)), " ".join(sorted(when.sop_class))]
    return "/".join(parts)


def elements_of(entry: Entry) -> Elements | None:
    """What a rule is for; None where that is written wrongly."""
    try:
        if entry.creator.strip():
            return private_element(entry.element)
        return standard_elements(entry.element)
    except ElementError:
        return None


def written(rule: Rule) -> str:
    """The elements of a rule as people read them, and as a profile has them: `(0010,0010)`."""
    group, element = rule.tag >> 16, rule.tag & 0xFFFF
    if rule.creator:
        place = f"xx{element & 0xFF:02x}"
        return f"({group:04x},{place})" if group else place
    if rule.mask == ONE_ELEMENT:
        return f"({group:04x},{element:04x})"
    groups = f"{group:04x}" if rule.mask & _WHOLE_GROUPS == _WHOLE_GROUPS else f"{group >> 8:02x}xx"
    return f"({groups},{element:04x})" if rule.mask & 0xFFFF else f"({groups},xxxx)"
