"""A project's own profile: a base and the rules that differ, as JSON. See docs/profiles.md."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydicom._uid_dict import UID_dictionary

from shared.identity import is_legal_uid
from shared.profile import checks
from shared.profile.actions import Action
from shared.profile.contents import POLICIES, Content, Policy
from shared.profile.elements import ElementError, private_element, standard_elements
from shared.profile.model import REPEATING_GROUP, Condition, Profile, Rule
from shared.profile.ps315 import OptionError, ps315_profile
from shared.profile.tables import source_profile

_MOST_RULES = 2000
_GROUPS = {Content.CURVES: 0x50000000, Content.OVERLAYS: 0x60000000}
_CONTENT_SEQUENCE = 0x0040A730
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")  # CS, PS3.5 6.2
_SOP_CLASSES = {
    entry[4]: uid for uid, entry in UID_dictionary.items() if entry[1].startswith("SOP Class")
}


class ProfileError(ValueError):
    """A profile can't be used; the text names each entry and what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class When(_Strict):
    """Which objects a rule is for."""

    modality: list[str] = []
    sop_class: list[str] = []


class Entry(_Strict):
    """One rule of a project, as it is written."""

    element: str = Field(max_length=100)
    creator: str = Field("", max_length=64)
    action: str
    value: str = Field("", max_length=1024)
    pattern: str = Field("", max_length=300)
    replacement: str = Field("", max_length=300)
    when: When | None = None
    note: str = Field("", max_length=1000)


class Document(_Strict):
    """A project's profile, as it is written."""

    format: Literal[1]
    name: str = Field(min_length=1, max_length=64)
    version: str = Field("1", min_length=1, max_length=64)
    base: Literal["source-2019", "ps3.15"]
    options: list[str] = []
    unlisted_private: Literal["keep", "remove"] | None = None
    contents: dict[str, str] = {}
    rules: list[Entry] = Field(default=[], max_length=_MOST_RULES)

    def text(self) -> str:
        """The same as JSON, without what goes without saying."""
        return self.model_dump_json(exclude_defaults=True)


@lru_cache(maxsize=64)
def load_profile(text: str) -> Profile:
    """The profile that `text` describes.

    Raises
    ------
    ProfileError
        Names everything that is wrong.
    """
    document = read_document(text)
    found: list[str] = []
    base = _base(document, found)
    policies = _policies(document.contents, found)
    rules = _rules(document.rules, found)
    if found:
        raise ProfileError(found)
    private = document.unlisted_private
    return Profile(
        document.name,
        document.version,
        [*base.rules, *_rules_of(policies), *rules],
        unlisted_private=Action(private) if private else base.unlisted_private,
        policies=policies,
        origin=(load_profile, (text,)),
    )


def _base(document: Document, found: list[str]) -> Profile:
    if document.base == "ps3.15":
        try:
            return ps315_profile(frozenset(document.options))
        except OptionError as error:
            why_in_words = str(error)
            found.append(f"options: {why_in_words}")
    elif document.options:
        found.append(f"options: '{document.base}' has none; they belong to the base 'ps3.15'")
    return source_profile()


def _policies(contents: dict[str, str], found: list[str]) -> dict[Content, Policy]:
    policies = {}
    for name, policy in contents.items():
        if name not in set(Content):
            known = ", ".join(Content)
            found.append(f"contents: unknown '{name}'; choose among {known}")
        elif policy not in POLICIES[Content(name)]:
            possible = ", ".join(POLICIES[Content(name)])
            found.append(f"contents: {name} can't be '{policy}'; choose one of {possible}")
        else:
            policies[Content(name)] = Policy(policy)
    return policies


def _rules_of(policies: dict[Content, Policy]) -> Iterator[Rule]:
    """The policies as far as they are rules."""
    for content, policy in policies.items():
        if content in _GROUPS:
            yield Rule(_GROUPS[content], content, Action(policy), mask=REPEATING_GROUP)
        elif content is Content.STRUCTURED_REPORTS and policy is not Policy.HOLD:
            gone = policy is Policy.REMOVE
            yield Rule(
                _CONTENT_SEQUENCE, "ContentSequence", Action.REMOVE if gone else Action.PROCESS
            )


def _rules(entries: list[Entry], found: list[str]) -> list[Rule]:
    rules: list[Rule] = []
    known: dict[object, int] = {}
    for number, entry in enumerate(entries, 1):
        wrong: list[str] = []
        rule = _rule(entry, wrong)
        if rule is not None:
            wrong += checks.problems(rule)
            same = known.setdefault((rule.tag, rule.mask, rule.creator, rule.when), number)
            if same != number:
                wrong.append(f"rule {same} is about the same element")
            rules.append(rule)
        found += [f"rule {number}: {wrong_in_words}" for wrong_in_words in wrong]
    return rules


def _rule(entry: Entry, wrong: list[str]) -> Rule | None:
    creator = entry.creator.strip()
    elements = None
    try:
        elements = private_element(entry.element) if creator else standard_elements(entry.element)
    except ElementError as error:
        wrong.append(str(error))
    if entry.action not in checks.OFFERED:
        offered = ", ".join(checks.OFFERED)
        wrong.append(f"unknown action '{entry.action}'; choose one of {offered}")
    when = _condition(entry.when, wrong)
    if wrong or elements is None:
        return None
    action = Action(entry.action)
    if (entry.replacement and action is not Action.REGEX) or (
        entry.value and action is Action.REGEX
    ):
        wrong.append("'value' goes with the action 'literal', 'replacement' with 'regex'")
    if action is Action.LITERAL and not entry.value:
        wrong.append("action 'literal' needs a value; 'empty' leaves none")
    return Rule(
        elements.tag,
        elements.name,
        action,
        entry.replacement if action is Action.REGEX else entry.value,
        entry.note,
        entry.pattern,
        elements.mask,
        creator,
        when,
    )


def _condition(when: When | None, wrong: list[str]) -> Condition | None:
    if when is None:
        return None
    if not when.modality and not when.sop_class:
        wrong.append("'when' names neither modality nor sop_class")
    wrong += [
        f"when: '{one}' is no modality; write 'MR'"
        for one in when.modality
        if not _MODALITY.fullmatch(one)
    ]
    classes = {one: _SOP_CLASSES.get(one, one) for one in when.sop_class}
    wrong += [
        f"when: '{one}' is no SOP class; write its UID, or its keyword as in PS3.6 A"
        for one, uid in classes.items()
        if not is_legal_uid(uid)
    ]
    return Condition(frozenset(when.modality), frozenset(classes.values()))


def read_document(text: str) -> Document:
    """What `text` says, whether or not all of it can be used.

    Raises
    ------
    ProfileError
        It is no such JSON.
    """
    try:
        # Of a name given twice only one entry would count, silently.
        return Document.model_validate(json.loads(text, object_pairs_hook=_pairs))
    except json.JSONDecodeError as error:
        raise ProfileError(
            [f"line {error.lineno}, column {error.colno}: not JSON from here on"]
        ) from None
    except RecursionError:
        raise ProfileError(["not a profile: nested too deep"]) from None
    except ValidationError as error:
        raise ProfileError([_in_words(one) for one in error.errors()]) from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: set[str] = set()
    for name, _ in pairs:
        if name in known:
            raise ProfileError([f"'{name}' is given twice in one place"])
        known.add(name)
    return dict(pairs)


_NO_OBJECT = "%(field)s should be an object, in braces"
_WORDS = {
    "dict_type": _NO_OBJECT,
    "extra_forbidden": "%(field)s is not known here",
    "list_type": "%(field)s should be a valid list",
    "literal_error": "%(field)s '%(input)s' is not possible; choose one of %(expected)s",
    "missing": "%(field)s is missing",
    "model_type": _NO_OBJECT,
    "string_too_long": "%(field)s should have at most %(max_length)s characters",
    "string_too_short": "%(field)s should have at least 1 character",
    "string_type": "%(field)s should be a valid string",
    "too_long": "%(field)s should have at most %(max_length)s entries",
}
_OTHERWISE = "%(field)s is not possible"


def _in_words(error: Any) -> str:
    """A pydantic error as: entry, field, what is wrong."""
    place = list(error["loc"])
    if place[:1] == ["rules"] and len(place) > 1:
        number, wrong_in_words = int(place[1]) + 1, _of_field(error, place[2:])
        return f"rule {number}: {wrong_in_words}"
    return _of_field(error, place) if place else "the profile should be an object, in braces"


def _of_field(error: Any, place: list[str | int]) -> str:
    if not place:
        return "it should be an object, in braces"
    values = {"field": ".".join(map(str, place)), "input": error["input"]} | error.get("ctx", {})
    if "expected" in values:
        values["expected"] = values["expected"].replace(" or ", ", ")
    words = _WORDS.get(error["type"], _OTHERWISE)
    return str(words % values)
