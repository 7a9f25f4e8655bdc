"""How Sluse's rules name what they read: by keyword, tag, private creator, or fact."""

import difflib

from pydicom.datadict import keyword_dict

from services.classifier.labels.facts import FACTS
from services.classifier.labels.language import CLASSIFY_TYPE, CLASSIFY_TYPE_FIELD, Field
from shared.profile.elements import ElementError, private_element, standard_elements
from shared.profile.model import ONE_ELEMENT


def field_named(text: str, creator: str = "") -> Field:
    """The field that `text` names, of a private `creator` if there is one.

    Raises
    ------
    ElementError
        Says what is wrong.
    """
    text, creator = text.strip(), creator.strip()
    if creator:
        private = private_element(text)
        if not private.tag >> 16:
            raise ElementError(f"'{text}' leaves the group open; write '(0019,{text})'")
        return Field(f"{text} of {creator}", private.tag, creator)
    if text == CLASSIFY_TYPE:
        return CLASSIFY_TYPE_FIELD
    if text in FACTS:
        return Field(text)
    if not text.startswith("(") and "," not in text and text not in keyword_dict:
        near = difflib.get_close_matches(text, [*FACTS, CLASSIFY_TYPE, *keyword_dict], n=1)
        hint = f"did you mean {near[0]}?" if near else "write '(0018,0081)' or EchoTime"
        raise ElementError(f"'{text}' names no element and no fact; {hint}")
    found = standard_elements(text)
    if found.mask != ONE_ELEMENT:
        raise ElementError(f"'{text}' is several elements; a rule reads one")
    return Field(found.name, found.tag)
