"""Attributes by keyword or tag, and their values in the DICOM JSON Model (PS3.18 annex F)."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_keyword, dictionary_VR, tag_for_keyword

Json = dict[str, Any]
"""A data set in the DICOM JSON Model."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")


class Attribute(NamedTuple):
    """An attribute of the dictionary, or a private one."""

    tag: int
    vr: str
    keyword: str
    """Empty for a private one."""

    @property
    def name(self) -> str:
        """Its keyword, or else its tag."""
        return self.keyword or key(self.tag)


def attribute(name: str) -> Attribute | None:
    """The attribute of a keyword or of a tag in eight digits; None where there is none."""
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name)
    if tag is None:
        return None
    try:
        return Attribute(tag, dictionary_VR(tag).split()[0], dictionary_keyword(tag))
    except KeyError:
        return Attribute(tag, "UN", "") if tag >> 16 & 1 else None


def known(keyword: str) -> Attribute:
    """The attribute of a keyword of the standard."""
    found = attribute(keyword)
    assert found is not None
    return found


def key(tag: int) -> str:
    """The name of an element in JSON."""
    return f"{tag:08X}"


def element(vr: str, values: Iterable[Any]) -> Json:
    """An element; without a value where all are empty."""
    found = list(values)
    if vr == "PN":
        found = [person_name(value) if value else None for value in found]
    if vr == "IS":
        found = [_whole(value) for value in found]
    if all(value in ("", None, {}) for value in found):
        return {"vr": vr}
    return {"vr": vr, "Value": [None if value == "" else value for value in found]}


def put(target: Json, keyword: str, *values: Any) -> None:
    """Set the attribute `keyword` of a data set."""
    one = known(keyword)
    target[key(one.tag)] = element(one.vr, values)


def person_name(text: str) -> dict[str, str]:
    """A name by its representations (PS3.18 F.2.2)."""
    names = ("Alphabetic", "Ideographic", "Phonetic")
    return {name: part for name, part in zip(names, text.split("="), strict=False) if part}


def _whole(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None  # what is no number has no place in JSON's numbers
