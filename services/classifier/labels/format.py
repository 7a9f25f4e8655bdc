"""Sluse's own rules: YAML (so JSON too). See docs/classification.md."""

import difflib
import re
from collections.abc import Callable, Hashable
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Checked
from pydicom._uid_dict import UID_dictionary

from services.classifier.labels.checks import RulesError, rule_set, title
from services.classifier.labels.elements import field_named
from services.classifier.labels.language import (
    APPROX_TOLERANCE,
    Comparison,
    Condition,
    Entry,
    Field,
    Operand,
    Operator,
    Reference,
    RuleSet,
    Value,
)
from services.classifier.labels.numbers import number
from shared.profile.elements import ElementError

_LONGEST = 1 << 18
"""Characters of a text of rules; reading YAML is slow."""
_SOP_CLASSES = {entry[4]: uid for uid, entry in UID_dictionary.items() if entry[4]}
_SOP_CLASS_UID = 0x00080016
_UNREADABLE = Comparison(Operand(Field("")), Operator.EXIST)
"""Stands where a condition is wrong, so that what follows is checked too."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Source(_Strict):
    tag: str = Checked(max_length=100)
    creator: str = Checked("", max_length=64)
    nth: str = ""


class _Rule(_Strict):
    tag: str = Checked("", max_length=100)
    creator: str = Checked("", max_length=64)
    nth: str = ""
    operator: str = ""
    value: Any = ""
    compare_to: _Source | None = None
    tolerance: str = ""
    negate: Literal["true", "false"] = "false"
    rule: str = ""
    notrule: str = ""


class _Entry(_Strict):
    type: str
    id: str = Checked("", max_length=64)
    description: str = Checked("", max_length=1000)
    check: Literal["series", "image"] = "image"
    rules: list[_Rule]


class _Document(_Strict):
    format: Literal["1"]
    name: str = Checked(min_length=1, max_length=64)
    version: str = Checked("1", min_length=1, max_length=64)
    entries: list[_Entry]


def load_rules(*texts: str) -> RuleSet:
    """The rules that the texts describe together, each continuing the one before it.

    The set has the name of the last, and all their versions.

    Raises
    ------
    RulesError
        Names everything that is wrong.
    """
    documents = [_read(text) for text in texts]
    found: list[str] = []
    entries = [entry for document in documents for entry in document.entries]
    made = [_entry(position, entry, found) for position, entry in enumerate(entries)]
    names = dict.fromkeys(document.name for document in documents)
    versions = dict.fromkeys(document.version for document in documents)
    try:
        rules = rule_set(" + ".join(names), " + ".join(versions), made)
    except RulesError as error:
        raise RulesError([*found, *error.problems]) from None
    if found:
        raise RulesError(found)
    return rules


def _entry(position: int, entry: _Entry, found: list[str]) -> Entry:
    conditions: list[Condition] = []
    for rule_number, rule in enumerate(entry.rules, 1):
        wrong: list[str] = []
        conditions.append(_condition(rule, wrong))
        where = f"{title(position, entry.type, entry.id)}, rule {rule_number}"
        found += [f"{where}: {one}" for one in wrong]
    return Entry(
        entry.type, tuple(conditions), entry.id, entry.description, entry.check == "series"
    )


def _condition(rule: _Rule, wrong: list[str]) -> Condition:
    given = [name for name in ("tag", "rule", "notrule") if getattr(rule, name)]
    if len(given) != 1:
        wrong.append("give one of 'tag', 'rule' and 'notrule'")
        return _UNREADABLE
    if given != ["tag"]:
        extra = sorted(rule.model_fields_set - {"rule", "notrule"})
        if extra:
            wrong.append(f"'{given[0]}' stands alone; remove {', '.join(extra)}")
            return _UNREADABLE
        return Reference(rule.rule or rule.notrule, negate=bool(rule.notrule))
    operand = _operand(rule, wrong)
    operator = _operator(rule, wrong)
    value = _value(rule, wrong)
    if wrong or operand is None:
        return _UNREADABLE
    if operand.field.tag == _SOP_CLASS_UID and operator is not Operator.REGEXP:
        value = _sop_classes(value, wrong)
    return Comparison(operand, operator, value, rule.negate == "true", _tolerance(rule, wrong))


def _operand(source: _Rule | _Source, wrong: list[str]) -> Operand | None:
    if source.nth and not re.fullmatch("[1-9][0-9]{0,4}", source.nth):
        wrong.append(f"nth '{source.nth}' is not the number of a value: 1 for the first")
        return None
    index = int(source.nth) - 1 if source.nth else None
    try:
        return Operand(field_named(source.tag, source.creator), index)
    except ElementError as error:
        wrong.append(str(error))
        return None


def _operator(rule: _Rule, wrong: list[str]) -> Operator:
    if rule.operator in set(Operator):
        return Operator(rule.operator)
    what = f"unknown operator '{rule.operator}'" if rule.operator else "'operator' is missing"
    wrong.append(f"{what}; choose one of {', '.join(Operator)}")
    return Operator.EXIST


def _value(rule: _Rule, wrong: list[str]) -> Value:
    if rule.compare_to is not None:
        if rule.value:
            wrong.append("give either 'value' or 'compare_to'")
        return _operand(rule.compare_to, wrong) or ""
    if isinstance(rule.value, str):
        return rule.value
    if isinstance(rule.value, list) and all(isinstance(one, str) for one in rule.value):
        return tuple(rule.value)
    wrong.append("the value should be a text, a number, or a list of them")
    return ""


def _sop_classes(value: Value, wrong: list[str]) -> Value:
    """With the UIDs in place of the keywords of PS3.6 A."""
    if isinstance(value, tuple):
        return tuple(_sop_class(one, wrong) for one in value)
    return _sop_class(value, wrong) if isinstance(value, str) else value


def _sop_class(text: str, wrong: list[str]) -> str:
    if not text or text[0].isdigit():
        return text
    if text not in _SOP_CLASSES:
        near = difflib.get_close_matches(text, _SOP_CLASSES, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; write its UID or its keyword of PS3.6 A"
        wrong.append(f"'{text}' is no SOP class{hint}")
    return _SOP_CLASSES.get(text, text)


def _tolerance(rule: _Rule, wrong: list[str]) -> float:
    if not rule.tolerance:
        return APPROX_TOLERANCE
    tolerance = number(rule.tolerance)
    if rule.operator != Operator.APPROX:
        wrong.append("'tolerance' goes with 'approx' only")
    if tolerance is None:
        wrong.append(f"tolerance '{rule.tolerance}' should be a number, 0 or more")
    return APPROX_TOLERANCE if tolerance is None else tolerance


class _Loader(yaml.BaseLoader):
    """Knows texts, lists and mappings only: a value NO stays 'NO', and 010 stays '010'."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            # Aliases of aliases grow without bound.
            raise RulesError(["aliases (*name) are not allowed"])
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        known: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in known:
                # Only one of the two would count, silently.
                raise RulesError(
                    [f"line {key.start_mark.line + 1}: '{key.value}' is given twice in one place"]
                )
            known.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read(text: str) -> _Document:
    if len(text) > _LONGEST:
        raise RulesError([f"the rules are longer than {_LONGEST} characters"])
    try:
        return _Document.model_validate(_Loader(text).get_single_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RulesError([f"{where}not YAML: {error.problem}"]) from None
    except yaml.YAMLError:
        raise RulesError(["not YAML: it holds characters that are not allowed"]) from None
    except RecursionError:
        raise RulesError(["not rules: nested too deep"]) from None
    except ValidationError as error:
        raise RulesError([_in_words(one) for one in error.errors()]) from None


_WORDS: dict[str, Callable[[Any], str]] = {
    "extra_forbidden": lambda error: "is not known here",
    "missing": lambda error: "is missing",
    "model_type": lambda error: "should be a mapping, 'name: value'",
    "list_type": lambda error: "should be a list",
    "string_type": lambda error: "should be a text",
    "literal_error": lambda error: (
        f"'{error['input']}' is not possible; choose {error['ctx']['expected']}"
    ),
}


def _in_words(error: Any) -> str:
    """A pydantic error as: entry, rule, field, what is wrong."""
    place, where = list(error["loc"]), ""
    for name, singular in (("entries", "entry"), ("rules", "rule")):
        if place[:1] == [name] and len(place) > 1:
            where += f"{', ' if where else ''}{singular} {int(place[1]) + 1}"
            place = place[2:]
    words = _WORDS.get(error["type"])
    what = words(error) if words else re.sub("^[A-Z][a-z]+ should", "should", error["msg"])
    name = ".".join(map(str, place)) or ("it" if where else "the file")
    return f"{where}: {name} {what}" if where else f"{name} {what}"
