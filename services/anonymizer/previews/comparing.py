"""Compares an object before and after de-identification, element by element."""

from collections.abc import Iterator, Mapping

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, private_dictionary_description
from pydicom.tag import BaseTag, Tag

from services.anonymizer.engine import values
from services.anonymizer.engine.report import element_path
from shared.previewing import MOST_ELEMENTS, Compared, Comparison, Effect

_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_LONGEST = 200
"""Characters of a value that are shown."""
_NOTHING = Dataset()

Value = str | bytes | list[Dataset]


def compare(
    before: Dataset, after: Dataset, reasons: Mapping[str, str], *, remarks: int = 0
) -> Comparison:
    """What became of each element of `before`, and what `after` has besides.

    Parameters
    ----------
    reasons
        Why elements were changed, by the paths that the engine's report has.
    remarks
        How many oddities were dealt with.
    """
    changed: list[Compared] = []
    others: list[Compared] = []
    meta = (getattr(before, "file_meta", _NOTHING), getattr(after, "file_meta", _NOTHING))
    for old, new in ((before, after), meta):
        for tag in _tags(old, new):
            rows = list(_element(old, new, tag, (), reasons))
            is_kept = all(one.effect is Effect.KEPT for one in rows)
            (others if is_kept else changed).extend(rows)
    rows = changed + others
    return Comparison(
        elements=rows[:MOST_ELEMENTS], left_off=max(0, len(rows) - MOST_ELEMENTS), remarks=remarks
    )


def pixels_kept(tag: int, before: int, after: int) -> Compared:
    """The row of pixel data, of which only the sizes in bytes are looked at."""
    return Compared(
        depth=0, tag=element_path(tag), name=keyword_for_tag(tag), vr="OW", before=_size(before),
        after=_size(after), effect=Effect.KEPT if before == after else Effect.CHANGED,
    )  # fmt: skip


def _tags(before: Dataset, after: Dataset) -> list[BaseTag]:
    """All but group lengths, which say nothing."""
    return sorted(tag for tag in map(Tag, {*before.keys(), *after.keys()}) if tag.element)


def _element(
    before: Dataset,
    after: Dataset,
    tag: BaseTag,
    place: tuple[int, ...],
    reasons: Mapping[str, str],
) -> Iterator[Compared]:
    """The row of an element, and below it those of its items."""
    here = (*place, int(tag))
    old, new = _value(before, tag), _value(after, tag)
    inner = [
        row
        for number, items in enumerate(_pairs(old, new), start=1)
        for inside in _tags(*items)
        for row in _element(*items, inside, (*here, number), reasons)
    ]
    effect = _effect(old, new)
    if effect is Effect.KEPT and any(one.effect is not Effect.KEPT for one in inner):
        effect = Effect.CHANGED
    owner = before if tag in before else after
    yield Compared(
        depth=len(place) // 2,
        tag=element_path(int(tag)),
        name=_name(owner, tag),
        vr=values.vr_of(owner, tag) if not isinstance(old or new, list) else "SQ",
        before=_shown(old),
        after=_shown(new),
        effect=effect,
        why=reasons.get(element_path(*here), ""),
    )
    yield from inner


def _value(data_set: Dataset, tag: BaseTag) -> Value | None:
    """The whole value: text, bytes or items; None where the element is not there."""
    if tag not in data_set:
        return None
    try:
        if values.vr_of(data_set, tag) == "SQ" or values.as_sequence(data_set, tag):
            return list(data_set[tag].value or ())
        if values.vr_of(data_set, tag) in _BINARY:
            return _bytes(data_set, tag)
        return "\\".join(values.texts_of(data_set, tag))
    except Exception:  # whatever pydicom stumbles over in a hostile value
        return values.raw_of(data_set, tag) or b""


def _bytes(data_set: Dataset, tag: BaseTag) -> bytes:
    raw = values.raw_of(data_set, tag)
    found = data_set[tag].value if raw is None else raw
    return found if isinstance(found, bytes) else str(found or "").encode()


def _pairs(old: Value | None, new: Value | None) -> Iterator[tuple[Dataset, Dataset]]:
    """The items of both, by their places."""
    left = old if isinstance(old, list) else []
    right = new if isinstance(new, list) else []
    for number in range(max(len(left), len(right))):
        yield (
            left[number] if number < len(left) else _NOTHING,
            right[number] if number < len(right) else _NOTHING,
        )


def _effect(old: Value | None, new: Value | None) -> Effect:
    if old is None:
        return Effect.ADDED
    if new is None:
        return Effect.REMOVED
    if isinstance(old, list) and isinstance(new, list):
        # What becomes of the items is in their own rows.
        old, new = str(len(old)), str(len(new)) if new else ""
    if old == new:
        return Effect.KEPT
    return Effect.CHANGED if new else Effect.EMPTIED


def _shown(value: Value | None) -> str | None:
    """A value as it is shown; of a sequence the number of its items."""
    if isinstance(value, list):
        return str(len(value))
    if isinstance(value, bytes):
        return _size(len(value))
    if value is not None and len(value) > _LONGEST:
        return value[:_LONGEST] + "…"
    return value


def _size(octets: int) -> str:
    return f"{octets} B"


def _name(data_set: Dataset, tag: BaseTag) -> str:
    if not tag.is_private:
        return keyword_for_tag(tag)
    if tag.is_private_creator:
        return "PrivateCreator"
    block = Tag(tag.group, tag.element >> 8)
    owner = next(iter(values.texts_of(data_set, block)), "") if block in data_set else ""
    try:
        return f"{owner}: {private_dictionary_description(tag, owner)}"
    except KeyError:
        return owner
