"""How a profile names elements: by tag, keyword, group, or private creator."""

import difflib
import re
from typing import NamedTuple

from pydicom.datadict import dictionary_keyword, dictionary_VR, keyword_dict

from shared.profile.model import ONE_ELEMENT

_TAG = re.compile(r"\(?([0-9a-f]{2})([0-9a-f]{2}|xx),\s*([0-9a-f]{4}|xxxx)\)?", re.IGNORECASE)
_PRIVATE = re.compile(r"\(?(?:([0-9a-f]{4}),\s*)?xx([0-9a-f]{2})\)?", re.IGNORECASE)
_EVEN_GROUPS = 0xFF010000
"""A repeating group's tags agree in the first byte and are even (PS3.5 section 7.6)."""


class ElementError(ValueError):
    """The text names no element that a rule can be for."""


class Elements(NamedTuple):
    """What a rule is for."""

    tag: int
    mask: int
    name: str
    vr: str
    """Empty where there is none or several: groups, private elements."""


def standard_elements(text: str) -> Elements:
    """The elements that `(0010,0010)`, `PatientName`, `(60xx,3000)` or `(0029,xxxx)` names.

    Raises
    ------
    ElementError
        Says what is wrong.
    """
    found = _TAG.fullmatch(text.strip())
    if found is None:
        return _by_keyword(text.strip())
    first, second, element = (part.lower() for part in found.groups())
    mask = (_EVEN_GROUPS if second == "xx" else 0xFFFF0000) | (0 if element == "xxxx" else 0xFFFF)
    tag = int((first + second + element).replace("x", "0"), 16)
    if mask != ONE_ELEMENT:
        return Elements(tag, mask, f"({first}{second},{element})", "")
    if tag >> 16 & 1:
        element = f"xx{tag & 0xFF:02x}"
        raise ElementError(f"{text} is private: name its creator, and the element as '{element}'")
    return Elements(tag, mask, dictionary_name(tag), vr_of(tag))


def private_element(text: str) -> Elements:
    """The private elements that `xx10`, or in one group only `(0029,xx10)`, names.

    Raises
    ------
    ElementError
        Says what is wrong.
    """
    found = _PRIVATE.fullmatch(text.strip())
    if found is None:
        raise ElementError(f"'{text}' names no element of a creator; write 'xx10' or '(0029,xx10)'")
    group = int(found[1] or "0", 16)
    if group and not group & 1:
        number = found[1]
        raise ElementError(f"group {number} is not private: those are odd")
    return Elements(group << 16 | int(found[2], 16), ONE_ELEMENT, text.strip(), "")


def dictionary_name(tag: int) -> str:
    """The keyword of a standard element, or its number where PS3.6 has none."""
    try:
        return dictionary_keyword(tag)
    except KeyError:
        return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def vr_of(tag: int) -> str:
    """The value representation of PS3.6, the first one where it has several; "" where none."""
    try:
        return dictionary_VR(tag).split(" ")[0]
    except KeyError:
        return ""


def _by_keyword(text: str) -> Elements:
    tag = keyword_dict.get(text)
    if tag is None:
        for near in difflib.get_close_matches(text, keyword_dict, n=1):
            raise ElementError(f"'{text}' names no element; did you mean {near}?")
        raise ElementError(f"'{text}' names no element; write '(0010,0010)' or PatientName")
    return Elements(tag, ONE_ELEMENT, text, vr_of(tag))
