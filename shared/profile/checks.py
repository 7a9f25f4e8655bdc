"""What a project's rule may do to which element, so that objects stay legal and their own."""

from collections.abc import Iterator

from pydicom.config import RAISE
from pydicom.valuerep import validate_value

from shared.profile.actions import Action
from shared.profile.edits import EditError, check_edit
from shared.profile.elements import dictionary_name, standard_elements
from shared.profile.model import ONE_ELEMENT, Rule

_LONG_TEXT = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
_TEXT = _LONG_TEXT | {"AE", "SH"}
_UIDS = frozenset({"UI"})
_VRS = {
    Action.HASH: _TEXT,
    Action.HASHUID: _UIDS,
    Action.HASHUID_PROJECT: _UIDS,
    Action.INCREMENTDATE: frozenset({"DA", "DT"}),
    Action.LITERAL: _TEXT | {"AS", "CS", "DA", "DS", "DT", "IS", "TM", "UR"},
    # Up to 64 characters.
    Action.PARTICIPANT: _LONG_TEXT,
    Action.PROCESS: frozenset({"SQ"}),
    Action.PROJECT: _TEXT,
    Action.REGEX: _TEXT | {"CS"},
    Action.SITE_ID: _LONG_TEXT,
    Action.SITE_NAME: _LONG_TEXT,
    Action.STUDYHASH: _TEXT,
}
"""The value representations that an action is for; the others are for all."""

OFFERED = tuple(action for action in Action if action not in (Action.BODY_PART, Action.CODES))
"""The actions that a project's profile can name."""
_OWN_UIDS = frozenset({0x00080018, 0x0020000D, 0x0020000E})
_FIXED = frozenset({0x00080005, 0x00080016, 0x00100010, 0x00100020, 0x00120062, 0x00120063,
                    0x00120064, 0x00280303, 0x00130010, 0x00131010, 0x00131011, 0x00131012,
                    0x00131013, *_OWN_UIDS})  # fmt: skip
"""What Sluse writes itself, or what makes the object readable."""


def problems(rule: Rule) -> Iterator[str]:
    """What is wrong with a project's rule, in words."""
    if rule.action is not Action.LITERAL and rule.action is not Action.REGEX and rule.value:
        yield f"action '{rule.action}' takes no value"
    if rule.action is not Action.REGEX and rule.pattern:
        yield f"action '{rule.action}' takes no pattern"
    if rule.action is Action.REGEX:
        try:
            check_edit(rule.pattern, rule.value)
        except EditError as error:
            yield str(error)
    if not rule.creator:
        yield from _standard(rule)


def _standard(rule: Rule) -> Iterator[str]:
    group = rule.tag >> 16
    if group <= 2 or group >= 0xFFFE or (rule.mask == ONE_ELEMENT and not rule.tag & 0xFFFF):
        yield f"{rule.name} is structure: it is written anew"
    elif rule.mask == ONE_ELEMENT and rule.tag in _OWN_UIDS:
        if rule.action not in (Action.KEEP, Action.HASHUID, Action.HASHUID_PROJECT):
            yield f"{rule.name} can be kept or mapped ('hashuid+PROJECTNAME') only"
        if rule.when is not None:
            yield f"{rule.name} is treated alike in all objects: leave out 'when'"
    elif fixed := sorted(tag for tag in _FIXED if rule.covers(tag)):
        name = dictionary_name(fixed[0])
        yield f"{name} is settled by Sluse itself"
    elif rule.mask != ONE_ELEMENT:
        if group & 1 and rule.action not in (Action.KEEP, Action.REMOVE):
            yield "a private group can be kept or removed only"
    else:
        yield from _representation(rule)


def _representation(rule: Rule) -> Iterator[str]:
    vr = standard_elements(f"{rule.tag >> 16:04x},{rule.tag & 0xFFFF:04x}").vr
    allowed = _VRS.get(rule.action)
    if not vr or allowed is None:
        return
    if vr not in allowed:
        others = ", ".join(sorted(allowed))
        yield (f"action '{rule.action}' is not for {rule.name}, which is {vr}; it is for {others}")
    elif rule.action is Action.LITERAL:
        try:
            validate_value(vr, rule.value, RAISE)
        except ValueError:
            yield f"'{rule.value}' is no legal value of {rule.name}, which is {vr}"
