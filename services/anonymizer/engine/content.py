"""Content items (PS3.3 C.17.3): what becomes of their values depends on their concept.

Items are never removed: others of the tree refer to them by position (PS3.3 C.17.3.2.5).
"""

from pydicom import Dataset
from pydicom.tag import BaseTag

from services.anonymizer.engine import values
from services.anonymizer.engine.actions import CONTENT_ITEM, Actions, Decision, Do
from shared.profile import Action, Rule
from shared.profile.concepts import concepts

_CONCEPT_NAME = BaseTag(0x0040A043)
_CODE_VALUE, _SCHEME = BaseTag(0x00080100), BaseTag(0x00080102)
_TEXT, _NAME = BaseTag(0x0040A160), BaseTag(0x0040A123)
_VALUES = (BaseTag(0x0040A120), BaseTag(0x0040A121), BaseTag(0x0040A122), _NAME, _TEXT)
"""DateTime, Date, Time, PersonName, TextValue."""
_VALUE_TYPE = BaseTag(0x0040A040)
_VALUE_TYPES = [
    [term]
    for term in (
        "CODE", "COMPOSITE", "CONTAINER", "DATE", "DATETIME", "IMAGE", "NUM", "PNAME", "SCOORD",
        "SCOORD3D", "TABLE", "TCOORD", "TEXT", "TIME", "UIDREF", "WAVEFORM",
    )
]  # fmt: skip
"""The defined terms (PS3.3 table C.17.3-7), whatever somebody is called."""


def decisions(item: Dataset, actions: Actions) -> dict[BaseTag, Decision]:
    """What is to be done with the values of a content item.

    Empty where `item` is none, and where the profile does not have them cleaned.
    """
    if not actions.cleans_content or not any(tag in item for tag in CONTENT_ITEM):
        return {}
    name = _concept_name(item)
    found = {tag: _decision(item, tag, name, actions) for tag in _VALUES if tag in item}
    if _VALUE_TYPE in item:
        found[_VALUE_TYPE] = _of_value_type(item, actions)
    return found


def _of_value_type(item: Dataset, actions: Actions) -> Decision:
    if values.texts_of(item, _VALUE_TYPE)[:1] in _VALUE_TYPES:
        return Decision(Do.LEAVE, "structure")
    return actions.kept(_VALUE_TYPE, values.vr_of(item, _VALUE_TYPE), "a content item")


def _concept_name(item: Dataset) -> tuple[str, str]:
    """Coding scheme designator and code value of the item's concept."""
    if _CONCEPT_NAME not in item or not item[_CONCEPT_NAME].value:
        return "", ""
    code = item[_CONCEPT_NAME].value[0]
    scheme, value = (
        next(iter(values.texts_of(code, tag)), "") if tag in code else ""
        for tag in (_SCHEME, _CODE_VALUE)
    )
    return scheme, value


def _decision(item: Dataset, tag: BaseTag, name: tuple[str, str], actions: Actions) -> Decision:
    vr = values.vr_of(item, tag)
    concept = concepts().get(name)
    if concept is None:
        unknown = tag in (_TEXT, _NAME)
        return actions.dummy(tag, vr, "an unknown concept") if unknown else actions.decide(tag, vr)
    why = f"as {concept.meaning}"
    if concept.like is not None:
        found = actions.decide(concept.like, vr)
    elif concept.action is Action.KEEP:
        found = actions.kept(tag, vr, why)
    else:
        found = actions.ruled(tag, vr, Rule(tag, concept.meaning, concept.action))
    if found.do in (Do.REMOVE, Do.HOLD) or (found.do is Do.WRITE and not found.value):
        return actions.dummy(tag, vr, why)  # a content item has a value
    return found
