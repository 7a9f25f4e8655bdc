"""Reads and changes values without touching the bytes of those that do not change."""

from collections.abc import Callable
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.values import convert_SQ

from shared.errors import Reason, Reject
from shared.walk import UNDEFINED, InMemory, Walk

_NUMBERS = frozenset({"DS", "IS"})
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


def vr_of(data_set: Dataset, tag: BaseTag) -> str:
    """The VR of an element: the file's own, or in implicit VR the dictionary's, or UN."""
    element: Any = data_set.get_item(tag)
    if isinstance(element, RawDataElement) and element.VR in (None, "UN"):
        if element.length == UNDEFINED:
            return "SQ"
        try:
            vr = dictionary_VR(tag).split(" ")[0]
            # A dictionary's sequence whose bytes are no items is bytes.
            fits = vr != "SQ" or not element.value or element.value.startswith(_ITEM_TAGS)
            return vr if fits else "UN"
        except KeyError:
            return str(_converted(data_set, tag).VR) if tag.is_private else "UN"
    return str(element.VR)


def raw_of(data_set: Dataset, tag: BaseTag) -> bytes | None:
    """The value's bytes as they stand in the file; None where pydicom has read them already."""
    value = data_set.get_item(tag).value
    return value if isinstance(value, bytes) else None


def texts_of(data_set: Dataset, tag: BaseTag) -> list[str]:
    """The values as texts, padding stripped; empty ones included."""
    raw = raw_of(data_set, tag)
    if raw is not None and vr_of(data_set, tag) in _NUMBERS:
        # Not as numbers: vendors write what is none.
        return [text.strip(" \0") for text in raw.decode("latin-1").split("\\")]
    value = _converted(data_set, tag).value
    if value is None:
        return []
    if isinstance(value, bytes):
        # A wrong VR: what should be text is stored as bytes.
        value = value.decode("latin-1")
    values = value if isinstance(value, MultiValue | list) else [value]
    return [str(one).strip(" \0") for one in values]


def change_texts(data_set: Dataset, tag: BaseTag, change: Callable[[str], str]) -> bool:
    """Replace each of an element's texts by what `change` makes of it; whether any changed."""
    old = texts_of(data_set, tag)
    new = [change(one) if one else "" for one in old]
    if old != new:
        element = data_set[tag]
        element.value = new if len(new) > 1 else new[0]
    return old != new


def change_bytes(data_set: Dataset, tag: BaseTag, value: bytes | None) -> None:
    """Put other bytes in the place of an element's, whatever its VR."""
    element: Any = data_set.get_item(tag)
    if isinstance(element, RawDataElement):
        data_set._dict[tag] = element._replace(value=value)  # noqa: SLF001 as bytes, not decoded
    else:
        element.value = value


def as_sequence(data_set: Dataset, tag: BaseTag) -> bool:
    """Make a sequence of an element whose bytes are items, though its VR does not say so; whether.

    Raises
    ------
    Reject
        An element of unknown VR looks like items and can't be read as such: what is in it would
        stay unseen.
    """
    raw = raw_of(data_set, tag)
    if raw is None or not raw.startswith(_ITEM_TAGS):
        return False
    implicit, little = data_set.original_encoding
    # In UN the items are implicit little endian (PS3.5 6.2.2); vendors also nest as they please.
    for as_implicit, as_little in ((True, True), (bool(implicit), bool(little)), (False, True)):
        try:
            walk = Walk(InMemory(raw), implicit=as_implicit, big_endian=not as_little)
            walk.require_items()
        except Reject:
            continue
        items = convert_SQ(raw, as_implicit, as_little, encoding=encodings_of(data_set))
        data_set[tag] = DataElement(tag, "SQ", items)
        return True
    if vr_of(data_set, tag) == "UN":
        raise Reject(Reason.NOT_DEIDENTIFIABLE, f"{tag} holds items that can't be read")
    return False  # the fragments of an encapsulated image, say


def _converted(data_set: Dataset, tag: BaseTag) -> DataElement:
    """The element as pydicom reads it, without putting it back in place of its bytes."""
    element: Any = data_set.get_item(tag)
    if isinstance(element, RawDataElement):
        return convert_raw_data_element(element, encoding=encodings_of(data_set), ds=data_set)
    return element  # type: ignore[no-any-return]


def encodings_of(data_set: Dataset) -> list[str]:
    """The Python codecs that an element's text is read with."""
    found = data_set._character_set  # noqa: SLF001 the one that pydicom itself decodes with
    return [found] if isinstance(found, str) else list(found)
