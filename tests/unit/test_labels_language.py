"""What each operator answers, and what is wrong with rules, in words."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.labels import Classifier, HeaderFacts, RulesError, load_rules
from tests.labelcases import Private, facts, header_of

_ENTRY = "entry 1 (type 'T', id 'A')"


def document(*entries: dict[str, Any]) -> str:
    return json.dumps({"format": "1", "name": "test", "entries": entries})


def entry(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "T", "id": "A", "rules": list(rules), **more}


def holds(rule: dict[str, Any], private: Private | None = None, /, **attributes: Any) -> bool:
    classifier = Classifier(load_rules(document(entry(rule))))
    return classifier.labels(classifier.image(facts(private, **attributes))) == ("T",)


def problems(*entries: dict[str, Any]) -> list[str]:
    with pytest.raises(RulesError) as caught:
        load_rules(document(*entries))
    return caught.value.problems


_TYPES = ["ORIGINAL", "PRIMARY", "M", "DIS2D"]
_SAGITTAL = [0, 1, 0, 0, 0, -1]
_ANSWERS = [
    # element, its value, operator, value, whether it holds
    ("SeriesDescription", "sag mprage", "regexp", "mp.age$", True),
    ("SeriesDescription", "sag mprage", "regexp", "^mprage", False),
    ("ImageType", _TYPES, "regexp", "^M$", True),
    ("ImageType", _TYPES, "regexp", "L.*P", False),
    ("SeriesDescription", "sag mprage", "contains", "mprage", True),
    ("SeriesDescription", "sag mprage", "contains", "MPRAGE", False),
    ("ImageType", _TYPES, "contains", "M", True),
    ("ImageType", _TYPES, "contains", "DIS", False),
    ("SeriesDescription", "a", "==", "a", True),
    ("SeriesDescription", "a", "==", "ab", False),
    ("EchoTime", "90.0", "==", 90, True),
    ("EchoTime", "90.1", "==", 90, False),
    ("ImageType", _TYPES, "==", "M", True),
    ("ImageType", _TYPES, "==", _TYPES, True),
    ("ImageType", _TYPES, "==", _TYPES[::-1], False),
    ("EchoTime", 91, "!=", 90, True),
    ("EchoTime", "90.00", "!=", 90, False),
    ("ImageType", _TYPES, "!=", "M", False),
    ("ImageType", _TYPES, "!=", "P", True),
    ("EchoTime", 89.9, "<", 90, True),
    ("EchoTime", 90, "<", 90, False),
    ("EchoTime", 90.1, ">", 90, True),
    ("EchoTime", 90, ">", 90, False),
    ("Rows", 512, ">", 100, True),
    ("Modality", "CT", "in", ["MR", "CT"], True),
    ("Modality", "US", "in", ["MR", "CT"], False),
    ("EchoTime", "3.0", "in", [3, 4], True),
    ("EchoTime", "90.00005", "approx", 90, True),
    ("EchoTime", "90.001", "approx", 90, False),
    ("ImageOrientationPatient", [0.00005, 1, 0, 0, 0, -1], "approx", _SAGITTAL, True),
    ("ImageOrientationPatient", [0.001, 1, 0, 0, 0, -1], "approx", _SAGITTAL, False),
    ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], "approx", [0, 1], False),
    ("PixelSpacing", [0.5, 0.7], "approx", 0.7, True),
    ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", "==", "MRImageStorage", True),
    ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", "in", ["CTImageStorage"], False),
]


@pytest.mark.parametrize(("tag", "has", "operator", "value", "answer"), _ANSWERS)
def test_an_operator_compares_as_documented(
    tag: str, has: Any, operator: str, value: Any, answer: bool
) -> None:
    value = [str(one) for one in value] if isinstance(value, list) else str(value)
    rule = {"tag": tag, "operator": operator, "value": value}
    assert holds(rule, **{tag: has}) is answer
    assert holds({**rule, "negate": "true"}, **{tag: has}) is not answer


@pytest.mark.parametrize("negate", ["true", "false"])
@pytest.mark.parametrize("operator", ["regexp", "==", "!=", "<", ">", "contains", "in", "approx"])
@pytest.mark.parametrize("attributes", [{}, {"EchoTime": None}], ids=["missing", "empty"])
def test_a_missing_element_satisfies_no_comparison_and_no_negated_one(
    attributes: dict[str, Any], operator: str, negate: str
) -> None:
    rule = {"tag": "EchoTime", "operator": operator, "value": "1", "negate": negate}
    assert not holds(rule, **attributes)
    assert not holds({**rule, "tag": "ImageType", "nth": "5"}, ImageType=_TYPES)


@pytest.mark.parametrize("negate", ["true", "false"])
@pytest.mark.parametrize("operator", ["<", ">", "approx"])
def test_a_text_is_neither_more_nor_less_than_a_number(operator: str, negate: str) -> None:
    rule = {"tag": "SeriesDescription", "operator": operator, "value": "1", "negate": negate}
    assert not holds(rule, SeriesDescription="high")


def test_existence_is_asked_of_missing_and_empty_elements_alike() -> None:
    exist = {"tag": "EchoTime", "operator": "exist"}
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"EchoTime": 1}, True), ({"EchoTime": None}, False), ({}, False),
    ]  # fmt: skip
    for attributes, there in cases:
        assert holds(exist, **attributes) is there
        assert holds({**exist, "operator": "notexist"}, **attributes) is not there
        assert holds({**exist, "negate": "true"}, **attributes) is not there


def test_the_tolerance_is_the_rules_own() -> None:
    rule = {"tag": "EchoTime", "operator": "approx", "value": "90", "tolerance": "0.5"}
    assert holds(rule, EchoTime=90.4) and not holds(rule, EchoTime=90.6)


def test_nth_counts_from_one() -> None:
    rule = {"tag": "ImageType", "nth": "1", "operator": "==", "value": "ORIGINAL"}
    assert holds(rule, ImageType=_TYPES) and not holds(rule, ImageType=["DERIVED", "ORIGINAL"])


def test_two_elements_are_compared_with_each_other() -> None:
    rule = {"tag": "Rows", "operator": "==", "compare_to": {"tag": "Columns"}}
    assert holds(rule, Rows=256, Columns=256) and not holds(rule, Rows=256, Columns=512)
    assert not holds(rule, Rows=256) and not holds({**rule, "negate": "true"}, Rows=256)
    echo = {"tag": "EchoTime", "operator": "<", "compare_to": {"tag": "RepetitionTime"}}
    assert holds(echo, EchoTime=4, RepetitionTime=10) and not holds(echo, EchoTime=4)
    spacing: dict[str, Any] = {"tag": "PixelSpacing", "operator": "approx", "tolerance": "0.1"}
    spacing["compare_to"] = {"tag": "ImagerPixelSpacing"}
    assert holds(spacing, PixelSpacing=[0.5, 0.5], ImagerPixelSpacing=[0.55, 0.45])
    assert not holds(spacing, PixelSpacing=[0.5, 0.5], ImagerPixelSpacing=[0.5, 0.9])
    nth: dict[str, Any] = {"tag": "PixelSpacing", "nth": "1", "operator": "=="}
    nth["compare_to"] = {"tag": "PixelSpacing", "nth": "2"}
    assert holds(nth, PixelSpacing=[0.5, 0.5]) and not holds(nth, PixelSpacing=[0.5, 0.9])


def test_a_private_element_is_found_in_whatever_block_its_creator_has() -> None:
    rule = {"tag": "(0019,xx0C)", "creator": "SIEMENS MR HEADER", "operator": ">", "value": "0"}
    b_value: Private = {(0x0019, "SIEMENS MR HEADER", 0x0C): ("IS", "1000")}
    assert holds(rule, b_value)
    assert holds(rule, {(0x0019, "SOMEBODY ELSE", 0x0C): ("IS", "0"), **b_value})
    assert not holds(rule, {(0x0019, "SOMEBODY ELSE", 0x0C): ("IS", "1000")})


def test_facts_that_are_not_in_the_header_are_compared_like_elements() -> None:
    rules = [{"tag": "called_aet", "operator": "==", "value": "BICAM"},
             {"tag": "NumSlices", "operator": ">", "value": "10"}]  # fmt: skip
    classifier = Classifier(load_rules(document(entry(*rules))))
    header = header_of({"Modality": "MR"})
    cases: list[tuple[dict[str, str | list[str]], tuple[str, ...]]] = [
        ({"called_aet": "BICAM", "NumSlices": ["60"]}, ("T",)),
        ({"called_aet": "OTHER", "NumSlices": "60"}, ()),
        ({"called_aet": "BICAM"}, ()),
    ]
    for extra, labels in cases:
        assert classifier.labels(classifier.image(HeaderFacts(header, extra))) == labels


def test_yaml_takes_no_value_for_a_boolean_or_another_number() -> None:
    text = "{format: 1, name: n, entries: [{type: T, rules: [{tag: %s, operator: ==, value: %s}]}]}"
    for tag, value in [("BurnedInAnnotation", "NO"), ("StudyID", "0x10")]:
        classifier = Classifier(load_rules(text % (tag, value)))
        assert classifier.labels(classifier.image(facts(**{tag: value}))) == ("T",)


def test_rules_may_be_json() -> None:
    text = json.dumps({"format": 1, "name": "n", "entries": [
        {"type": "T", "rules": [{"tag": "Rows", "operator": ">", "value": 2}]}]})  # fmt: skip
    assert load_rules(text).types == ["T"]


def test_a_second_text_continues_the_first() -> None:
    own = document({"type": "U", "rules": [{"rule": "A"}]})
    rules = load_rules(document(entry({"tag": "Rows", "operator": "exist"})), own)
    classifier = Classifier(rules)
    assert classifier.labels(classifier.image(facts(Rows=1))) == ("T", "U")


_ROWS = {"tag": "Rows", "operator": "exist"}
_WRONG = [
    ({"tag": "EchoTiem", "operator": "exist"}, "did you mean EchoTime?"),
    ({"tag": "(0019,100c)", "operator": "exist"}, "is private: name its creator"),
    ({"tag": "xx0C", "creator": "X", "operator": "exist"}, "leaves the group open"),
    ({"tag": "(60xx,3000)", "operator": "exist"}, "a rule reads one"),
    ({"tag": "Rows"}, "'operator' is missing"),
    ({"tag": "Rows", "operator": "~"}, "unknown operator '~'; choose one of regexp, =="),
    ({"tag": "Rows", "operator": "=="}, "'==' needs a value"),
    ({"tag": "Rows", "operator": "<", "value": "many"}, "'<' needs numbers"),
    ({"tag": "Rows", "operator": "<", "value": ["1", "2"]}, "takes one value, not a list"),
    ({"tag": "Rows", "operator": "exist", "value": "1"}, "takes no value"),
    ({"tag": "Rows", "operator": "==", "value": {"a": "b"}}, "a text, a number, or a list"),
    ({"tag": "Rows", "operator": "approx", "value": "1", "tolerance": "-1"}, "0 or more"),
    ({"tag": "Rows", "operator": "==", "value": "1", "tolerance": "1"}, "'approx' only"),
    ({"tag": "Rows", "nth": "0", "operator": "exist"}, "1 for the first"),
    ({"tag": "Rows", "operator": "regexp", "value": "(a"}, "not a regular expression"),
    ({"tag": "Rows", "operator": "regexp", "value": "(?=a)"}, "not a regular expression"),
    ({"tag": "Rows", "operator": "regexp", "value": "\\Qa"}, "not a regular expression"),
    ({"tag": "Rows", "operator": "regexp", "value": "a" * 301}, "longer than 300"),
    ({"tag": "Rows", "operator": "regexp", "compare_to": {"tag": "Columns"}}, "use '=='"),
    ({"tag": "Rows", "operator": "==", "value": "1", "compare_to": {"tag": "Rows"}}, "either"),
    ({"tag": "SOPClassUID", "operator": "==", "value": "MRImageStorag"}, "did you mean MRImage"),
    ({"tag": "ClassifyType", "operator": "<", "value": "1"}, "types have no order"),
    ({"tag": "ClassifyType", "operator": "==", "compare_to": {"tag": "Rows"}}, "can't be compared"),
    ({"rule": "B"}, "it refers to 'B', and no entry has that id"),
    ({"notrule": "B"}, "it refers to 'B', and no entry has that id"),
    ({"rule": "A", "negate": "true"}, "stands alone; remove negate"),
    ({"rule": "A", "tag": "Rows"}, "one of 'tag', 'rule' and 'notrule'"),
    ({"tag": "Rows", "operator": "exist", "negate": "maybe"}, "'maybe' is not possible"),
    ({"tag": "Rows", "operator": "exist", "colour": "red"}, "colour is not known here"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words"), _WRONG, ids=[words for _, words in _WRONG])
def test_what_is_wrong_with_a_rule_is_said_with_its_entry(rule: dict[str, Any], words: str) -> None:
    [problem] = problems(entry(rule))
    assert problem.startswith((_ENTRY, "entry 1, rule 1")) and words in problem


def test_everything_wrong_is_said_at_once() -> None:
    found = problems(
        entry({"tag": "Rowz", "operator": "exist"}, {"tag": "Rows", "operator": "~"}),
        {"type": "", "rules": []},
        {"type": "U", "rules": [{"rule": "nowhere"}]},
    )
    assert [one.split(":")[0] for one in found] == [
        f"{_ENTRY}, rule 1", f"{_ENTRY}, rule 2", "entry 2", "entry 2", "entry 3 (type 'U')",
    ]  # fmt: skip


def test_a_circle_of_references_is_named_entry_by_entry() -> None:
    [problem] = problems(
        {"type": "X", "id": "X", "rules": [{"rule": "Y"}]},
        {"type": "Y", "id": "Y", "rules": [{"notrule": "Z"}]},
        {"type": "Z", "id": "Z", "rules": [_ROWS, {"rule": "X"}]},
    )
    for named in ("entry 1 (type 'X', id 'X')", "entry 2 (type 'Y'", "entry 3 (type 'Z'"):
        assert named in problem
    [problem] = problems(entry({"rule": "A"}))
    assert problem.startswith(f"{_ENTRY}: the references go in a circle")


def test_one_id_can_not_be_that_of_two_types() -> None:
    found = problems(entry(_ROWS), {"type": "U", "id": "A", "rules": [_ROWS]})
    assert "its id is also that of type 'U'" in found[0]


def test_a_type_that_no_entry_before_gives_is_a_mistake() -> None:
    asks = {"tag": "ClassifyType", "operator": "contains", "value": "U"}
    [problem] = problems(entry(asks), {"type": "U", "rules": [_ROWS]})
    assert "the type 'U', which no entry before it gives" in problem


def test_an_entry_that_asks_for_types_stands_before_those_that_refer_to_it() -> None:
    asks = {"tag": "ClassifyType", "operator": "exist"}
    [problem] = problems(entry({"rule": "B"}), {"type": "U", "id": "B", "rules": [asks]})
    assert problem.startswith(_ENTRY) and "put that one first" in problem


_TEXTS = [
    ("{", "not YAML"),
    ("[1, 2]", "should be a mapping"),
    ("{format: 2, name: n, entries: []}", "format '2' is not possible"),
    ("{format: 1, name: n, entries: [], entries: []}", "'entries' is given twice"),
    ("{format: 1, name: n, entries: [&a {type: T, rules: []}, *a]}", "aliases"),
    ("[" * 2000, "nested too deep"),
    ("a" * 300_000, "longer than"),
    ("\x00", "characters that are not allowed"),
    ("{? [a] : b}", "not YAML"),
    ("{format: 1, name: n, entries: [{type: T}]}", "entry 1: rules is missing"),
]


@pytest.mark.parametrize(("text", "words"), _TEXTS, ids=[words for _, words in _TEXTS])
def test_a_text_that_is_no_rules_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(RulesError, match=words):
        load_rules(text)


def test_a_catastrophic_pattern_takes_no_time() -> None:
    rule = {"tag": "SeriesDescription", "operator": "regexp", "value": "(a+)+$"}
    started = time.process_time()
    assert not holds(rule, SeriesDescription="a" * 60 + "b")
    assert time.process_time() - started < 1


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text("[]{}:,-&*!?'\"% \n", max_size=20), st.integers(0, 200))
def test_no_text_ends_in_another_error(text: str, cut: int) -> None:
    good = document(entry({"tag": "Rows", "operator": "=="}, {"notrule": "A"}))
    for one in (text, good[:cut] + text[:50] + good[cut:]):
        with suppress(RulesError):
            load_rules(one)
