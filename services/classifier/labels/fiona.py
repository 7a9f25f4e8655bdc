"""Loads the earlier system's classifyRules.json (FIONA) into the same model.

An array of `{type, id?, description?, check?: "SeriesLevel", rules}`. Its answers are this
system's, also where the earlier one's were wrong: see docs/classification.md.
"""

import json
import re
from typing import Any

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

_ENTRY_KEYS = frozenset({"type", "id", "description", "check", "rules"})
_RULE_KEYS = frozenset({"tag", "value", "operator", "negate", "approxLevel"})
_NEGATE = {"yes": True, "no": False}
_OPERATORS = {**{str(one): one for one in Operator}, "exists": Operator.EXIST}
_UNREADABLE = Comparison(Operand(Field("")), Operator.EXIST)
"""Stands where a condition is wrong, so that what follows is checked too."""
_HEX = re.compile("0[xX][0-9a-fA-F]{1,4}")
_PRIVATE = re.compile("Private([0-9a-fA-F]{4})_([0-9a-fA-F]{4})")
# The keys of its series JSON that are neither keywords nor called so here.
_KEYS = {
    "AETitleCaller": Field("calling_aet"),
    "AETitleCalled": Field("called_aet"),
    "CallerIP": Field("peer_address"),
    "SliceSpacing": Field("SpacingBetweenSlices", 0x00180088),
    "SoftwareVersion": Field("SoftwareVersions", 0x00181020),
    "SequenceType": Field("(2001,1020)", 0x20011020),
    "AcquisitionLength": Field("(0051,100a)", 0x0051100A),
}


def load_fiona(text: str, name: str = "classifyRules.json") -> RuleSet:
    """The rules of the earlier system's file `text`.

    Raises
    ------
    RulesError
        Names everything that is wrong.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except json.JSONDecodeError as error:
        raise RulesError(
            [f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"]
        ) from None
    except RecursionError:
        raise RulesError(["not rules: nested too deep"]) from None
    if not isinstance(document, list):
        raise RulesError(["the file should be a list of entries, in brackets"])
    found: list[str] = []
    made = [_entry(position, one, found) for position, one in enumerate(document)]
    try:
        # Its own file asks for types that no entry gives.
        rules = rule_set(name, "fiona", made, known_types=False)
    except RulesError as error:
        raise RulesError([*found, *error.problems]) from None
    if found:
        raise RulesError(found)
    return rules


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise RulesError([f"'{name}' is given twice in one place"])
    return dict(pairs)


def _entry(position: int, document: Any, found: list[str]) -> Entry:
    if not isinstance(document, dict):
        found.append(f"{title(position)}: should be an object, in braces")
        return Entry("?", (_UNREADABLE,))
    type_, id_ = document.get("type"), document.get("id", "")
    wrong = _unknown(document, _ENTRY_KEYS)
    if not isinstance(type_, str) or not isinstance(id_, str):
        wrong.append("'type' should be a text, and so 'id' if there is one")
        type_, id_ = "?", ""
    if document.get("check", "SeriesLevel") != "SeriesLevel":
        wrong.append("'check' can only be 'SeriesLevel'")
    rules = document.get("rules")
    if not isinstance(rules, list):
        wrong.append("'rules' should be a list")
        rules = [None]
    where = title(position, type_, id_)
    found += [f"{where}: {one}" for one in wrong]
    conditions: list[Condition] = []
    for rule_number, rule in enumerate(rules, 1):
        wrong = []
        conditions.append(_condition(rule, wrong) if rule is not None else _UNREADABLE)
        found += [f"{where}, rule {rule_number}: {one}" for one in wrong]
    description = str(document.get("description", ""))
    return Entry(type_, tuple(conditions), id_, description, "check" in document)


def _unknown(document: dict[str, Any], known: frozenset[str]) -> list[str]:
    return [f"'{key}' is not known here" for key in document if key not in known]


def _condition(rule: Any, wrong: list[str]) -> Condition:
    if not isinstance(rule, dict):
        wrong.append("should be an object, in braces")
        return _UNREADABLE
    for key in ("rule", "notrule"):
        if key in rule:
            if len(rule) > 1 or not isinstance(rule[key], str):
                wrong.append(f"'{key}' stands alone, with an id")
                return _UNREADABLE
            return Reference(rule[key], negate=key == "notrule")
    wrong += _unknown(rule, _RULE_KEYS)
    operand = _operand(rule.get("tag"), wrong)
    operator = _operators(rule.get("operator", "regexp"), wrong)
    negate = _NEGATE.get(str(rule.get("negate", "no")))
    if negate is None:
        wrong.append("'negate' should be 'yes'")
    tolerance = number(str(rule.get("approxLevel", APPROX_TOLERANCE)))
    if tolerance is None:
        wrong.append("'approxLevel' should be a number")
    value = _value(rule.get("value", ""), operator, wrong)
    if wrong or operand is None or tolerance is None:
        return _UNREADABLE
    return Comparison(operand, operator, value, bool(negate), tolerance, joined=True)


def _operators(text: Any, wrong: list[str]) -> Operator:
    operator = _OPERATORS.get(str(text))
    if operator is None:
        wrong.append(f"unknown operator '{text}'; choose one of {', '.join(_OPERATORS)}")
    return operator or Operator.EXIST


def _value(value: Any, operator: Operator, wrong: list[str]) -> Value:
    if operator in (Operator.EXIST, Operator.NOT_EXIST):
        return ""  # its files state one, which means nothing
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        wrong.append("'value' should be a text, a number, a list of them, or a tag")
        return ""
    if _looks_like_tag(value):
        return _operand(value, wrong) or ""
    return tuple(value)


def _looks_like_tag(value: list[str]) -> bool:
    if len(value) == 1:
        return number(value[0]) is None
    return len(value) in (2, 3) and all(_HEX.fullmatch(one) for one in value[:2])


def _operand(tag: Any, wrong: list[str]) -> Operand | None:
    """What `["EchoTime"]`, `["0x18", "0x81"]` or `["0x08", "0x08", "2"]` names."""
    if not isinstance(tag, list) or not all(isinstance(one, str) for one in tag):
        wrong.append("'tag' should be a list: a name, or group and element as 0x18, 0x81")
    elif len(tag) == 1:
        return _named(tag[0], wrong)
    elif len(tag) not in (2, 3) or not all(_HEX.fullmatch(one) for one in tag[:2]):
        wrong.append(f"{tag} is no tag; write a name, or group and element as 0x18, 0x81")
    elif len(tag) == 3 and not re.fullmatch("[0-9]{1,5}", tag[2]):
        wrong.append(f"'{tag[2]}' is not the number of a value: 0 for the first")
    else:
        index = int(tag[2]) if len(tag) == 3 else None
        return Operand(_numbered(int(tag[0], 16), int(tag[1], 16)), index)
    return None


def _named(name: str, wrong: list[str]) -> Operand | None:
    if name in _KEYS:
        return Operand(_KEYS[name])
    if private := _PRIVATE.fullmatch(name):
        return Operand(_numbered(int(private[1], 16), int(private[2], 16)))
    try:
        return Operand(field_named(name))
    except ElementError as error:
        wrong.append(str(error))
        return None


def _numbered(group: int, element: int) -> Field:
    """Its rules name private elements by the number that they have in most files."""
    return Field(f"({group:04x},{element:04x})", group << 16 | element)
