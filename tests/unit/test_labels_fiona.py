"""The earlier system's classifyRules.json, in an example that has all that its rules have."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.labels import Classifier, HeaderFacts, RulesError, load_fiona
from tests.labelcases import Private, facts, header_of

_EXAMPLE: list[dict[str, Any]] = [
    {"type": "MAKER", "id": "MAKER", "description": "ours",
     "rules": [{"tag": ["0x08", "0x70"], "value": "^ACME"}]},
    {"type": "tiles", "rules": [{"tag": ["0x08", "0x08"], "value": "TILES", "operator": "contains"},
                                {"rule": "MAKER"}]},
    {"type": "first is original",
     "rules": [{"tag": ["0x08", "0x08", "0"], "value": "ORIGINAL", "operator": "=="}]},
    {"type": "square", "check": "SeriesLevel",
     "rules": [{"tag": ["Rows"], "value": ["Columns"], "operator": "=="}]},
    {"type": "sagittal",
     "rules": [{"tag": ["0x20", "0x37"], "value": [0, 1, 0, 0, 0, -1], "operator": "approx",
                "approxLevel": "0.0004"}]},
    {"type": "matrix", "rules": [{"tag": ["AcquisitionMatrix"], "value": "0, 256, 256, 0"}]},
    {"type": "sequence", "rules": [{"tag": ["0x19", "0x109c"], "value": "^x.*/epi"}]},
    {"type": "technique", "rules": [{"tag": ["SequenceType"], "value": "FEEPI"}]},
    {"type": "from the ward", "rules": [{"tag": ["AETitleCaller"], "value": "^WARD"}]},
    {"type": "slices", "rules": [{"tag": ["NumSlices"], "value": "60", "operator": "=="}]},
    {"type": "named", "rules": [{"tag": ["SeriesDescription"], "operator": "exists", "value": ""}]},
    {"type": "nameless", "rules": [{"tag": ["SeriesDescription"], "operator": "notexist"}]},
    {"type": "not QA", "rules": [{"tag": ["SeriesDescription"], "operator": "contains",
                                  "value": "QA", "negate": "yes"}]},
    {"type": "foreign", "rules": [{"notrule": "MAKER"}]},
    {"type": "leftover", "rules": [{"tag": ["ClassifyType"], "value": "matrix",
                                    "operator": "contains", "negate": "yes"}]},
    {"type": "asks for what nobody gives",
     "rules": [{"tag": ["ClassifyType"], "value": "axial", "operator": "contains"}]},
]  # fmt: skip


@pytest.fixture(name="classifier", scope="module")
def _classifier() -> Classifier:
    return Classifier(load_fiona(json.dumps(_EXAMPLE)))


_PRIVATE: Private = {
    (0x0019, "BLOCK", 0x9C): ("LO", "x/y/epi"),
    (0x2001, "BLOCK", 0x20): ("LO", "FEEPI"),
}
_CASES: list[tuple[dict[str, Any], Private | None, set[str]]] = [
    ({"Manufacturer": "ACME", "ImageType": ["ORIGINAL", "TILES"]}, None,
     {"MAKER", "tiles", "first is original", "nameless", "leftover"}),
    ({"ImageType": ["DERIVED", "ORIGINAL"], "Rows": 2, "Columns": 2}, None,
     {"square", "nameless", "foreign", "leftover"}),
    ({"ImageOrientationPatient": [0, 1, 0.0003, 0, 0, -1], "SeriesDescription": "QA"}, None,
     {"sagittal", "named", "foreign", "leftover"}),
    ({"AcquisitionMatrix": [0, 256, 256, 0], "SeriesDescription": "x"}, _PRIVATE,
     {"matrix", "sequence", "technique", "named", "not QA", "foreign"}),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "private", "expected"), _CASES, ids=["1", "2", "3", "4"])
def test_the_rules_of_the_earlier_system_answer(
    classifier: Classifier, attributes: dict[str, Any], private: Private | None, expected: set[str]
) -> None:
    assert set(classifier.labels(classifier.image(facts(private, **attributes)))) == expected


def test_its_names_of_what_is_not_in_the_header_are_known(classifier: Classifier) -> None:
    image = HeaderFacts(header_of({}), {"calling_aet": "WARD3", "NumSlices": "60"})
    found = set(classifier.labels(classifier.image(image)))
    assert found >= {"from the ward", "slices"}


def test_series_level_removes_a_type_when_an_image_fails(classifier: Classifier) -> None:
    square, other = (classifier.image(facts(Rows=4, Columns=one)) for one in (4, 5))
    assert "square" in classifier.labels(square)
    assert "square" not in classifier.labels(classifier.merge([square, other]))


def test_an_id_may_be_shared_by_entries_of_one_type() -> None:
    rows = [{"tag": ["Rows"], "operator": "==", "value": value} for value in ("1", "2")]
    entries: list[dict[str, Any]] = [{"type": "T", "id": "I", "rules": [one]} for one in rows]
    entries.append({"type": "U", "rules": [{"rule": "I"}]})
    classifier = Classifier(load_fiona(json.dumps(entries)))
    found = [classifier.labels(classifier.image(facts(Rows=one))) for one in (1, 2, 3)]
    assert found == [("T", "U"), ("T", "U"), ()]


_WRONG: list[tuple[Any, str]] = [
    ({"tag": ["Rowz"], "value": "1"}, "did you mean Rows?"),
    ({"tag": ["0x18"], "value": "1"}, "names no element"),
    ({"tag": ["0x18", "81x"], "value": "1"}, "is no tag"),
    ({"tag": ["0x18", "0x81", "x"], "value": "1"}, "0 for the first"),
    ({"tag": "Rows", "value": "1"}, "'tag' should be a list"),
    ({"tag": ["Rows"], "value": "1", "operator": "is"}, "unknown operator 'is'"),
    ({"tag": ["Rows"], "value": "1", "negate": "maybe"}, "'negate' should be 'yes'"),
    ({"tag": ["Rows"], "value": "1", "operator": "approx", "approxLevel": "x"}, "'approxLevel'"),
    ({"tag": ["Rows"], "value": {"a": 1}}, "'value' should be"),
    ({"tag": ["Rows"], "value": "(?!a)"}, "not a regular expression"),
    ({"tag": ["Rows"], "value": ["Columns"]}, "use '=='"),
    ({"tag": ["Rows"]}, "'regexp' needs a value"),
    ({"tag": ["Rows"], "value": "1", "color": "red"}, "'color' is not known"),
    ({"rule": "NOWHERE"}, "it refers to 'NOWHERE'"),
    ({"rule": "X", "negate": "yes"}, "'rule' stands alone"),
    ("Rows", "should be an object"),
]


@pytest.mark.parametrize(("rule", "words"), _WRONG, ids=[words for _, words in _WRONG])
def test_what_is_wrong_is_said_with_its_entry(rule: Any, words: str) -> None:
    good = {"type": "G", "rules": [{"tag": ["Rows"], "operator": "exist"}]}
    with pytest.raises(RulesError) as caught:
        load_fiona(json.dumps([good, {"type": "T", "id": "X", "rules": [rule]}]))
    [problem] = caught.value.problems
    assert problem.startswith("entry 2 (type 'T', id 'X')") and words in problem


_FILES = [
    ("{", "not JSON"),
    ('{"a": 1}', "list of entries"),
    ('[{"type": "T", "type": "U"}]', "given twice"),
    ('[{"type": "T", "check": "ImageLevel", "rules": []}]', "can only be 'SeriesLevel'"),
    ('[{"type": null, "rules": 5}]', "'type' should be a text"),
    ("[5]", "entry 1: should be an object"),
    ("[" * 100_000, "nested too deep"),
]


@pytest.mark.parametrize(("text", "words"), _FILES, ids=[words for _, words in _FILES])
def test_a_file_that_is_no_rules_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(RulesError, match=words):
        load_fiona(text)


def test_a_circle_is_named() -> None:
    entries = [
        {"type": one, "id": one, "rules": [{"rule": other}]}
        for one, other in [("A", "B"), ("B", "C"), ("C", "A")]
    ]
    with pytest.raises(RulesError, match=r"entry 1 .*in a circle: entry 1 .* → entry 2 .* → entry"):
        load_fiona(json.dumps(entries))


_WORDS = [
    *("type", "id", "check", "rules", "tag", "value", "operator", "negate", "rule", "notrule"),
    *("Rows", "0x18"),
]
_leaves = st.sampled_from([*_WORDS, "approx", "==", "yes", "SeriesLevel", "1"]) | st.integers()
_json = st.recursive(
    _leaves | st.none() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_WORDS), inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(_WORDS), _json), max_size=3))
def test_no_file_ends_in_another_error(entries: list[Any]) -> None:
    with suppress(RulesError):
        load_fiona(json.dumps(entries))
