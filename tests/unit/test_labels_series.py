"""Types add up over the images of a series, in whatever order they come."""

import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.labels import Classifier, Field, HeaderFacts, SeriesState, load_rules
from tests.labelcases import facts, header_of

_RULES = """
format: 1
name: test
entries:
  - type: axial
    rules: [{tag: ImageOrientationPatient, operator: approx, value: [1, 0, 0, 0, 1, 0]}]
  - type: sagittal
    rules: [{tag: ImageOrientationPatient, operator: approx, value: [0, 1, 0, 0, 0, -1]}]
  - {type: thin, check: series, rules: [{tag: SliceThickness, operator: <, value: 2}]}
  - {type: short, id: SHORT, check: series, rules: [{tag: EchoTime, operator: <, value: 10}]}
  - {type: short, id: SHORT, check: series, rules: [{tag: EchoTime, operator: '==', value: 99}]}
  - type: localizer
    id: LOC
    rules:
      - {tag: ClassifyType, operator: contains, value: axial}
      - {tag: ClassifyType, operator: contains, value: sagittal}
  - type: oblique
    rules:
      - {tag: ClassifyType, operator: contains, value: axial, negate: 'true'}
      - {tag: ClassifyType, operator: '!=', value: sagittal}
      - {tag: ImageOrientationPatient, operator: exist}
  - {type: scan, rules: [{notrule: LOC}]}
  - {type: thin plan, rules: [{rule: LOC}, {tag: SliceThickness, operator: <, value: 2}]}
  - {type: thin scan, rules: [{notrule: LOC}, {tag: SliceThickness, operator: <, value: 2}]}
"""
_AXIAL, _SAGITTAL, _OBLIQUE = [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0.9, 0.4]


@pytest.fixture(name="classifier", scope="module")
def _classifier() -> Classifier:
    return Classifier(load_rules(_RULES))


def image(classifier: Classifier, **attributes: Any) -> SeriesState:
    return classifier.image(facts(**attributes))


def labels(classifier: Classifier, *images: SeriesState) -> set[str]:
    return set(classifier.labels(classifier.merge(images)))


def test_types_add_up_over_the_images_and_later_rules_read_them(classifier: Classifier) -> None:
    axial = image(classifier, ImageOrientationPatient=_AXIAL)
    sagittal = image(classifier, ImageOrientationPatient=_SAGITTAL)
    assert labels(classifier, axial) == {"axial", "scan"}
    assert labels(classifier, axial, sagittal) == {"axial", "sagittal", "localizer"}
    thin = image(classifier, SliceThickness=1)
    assert "thin plan" in labels(classifier, axial, sagittal, thin)
    assert "thin plan" not in labels(classifier, axial, thin)


def test_a_negated_question_for_types_holds_of_a_series_that_has_none(
    classifier: Classifier,
) -> None:
    assert labels(classifier, image(classifier, ImageOrientationPatient=_OBLIQUE)) == {
        "oblique", "scan",
    }  # fmt: skip
    assert "oblique" not in labels(classifier, image(classifier))


def test_notrule_negates_the_whole_also_where_an_element_is_missing() -> None:
    text = """{format: 1, name: n, entries: [
      {type: both, id: B, rules: [{tag: Rows, operator: ==, value: 1},
                                  {tag: Columns, operator: ==, value: 1}]},
      {type: neither, rules: [{notrule: B}]}]}"""
    classifier = Classifier(load_rules(text))
    for rows, columns, expected in [(1, 1, "both"), (1, 2, "neither"), (2, 1, "neither"),
                                    (2, 2, "neither"), (1, None, "neither")]:  # fmt: skip
        assert labels(classifier, image(classifier, Rows=rows, Columns=columns)) == {expected}


def test_a_series_level_type_is_lost_with_the_first_image_that_fails(
    classifier: Classifier,
) -> None:
    thin, thick = image(classifier, SliceThickness=1), image(classifier, SliceThickness=5)
    assert "thin" in labels(classifier, thin)
    for order in permutations([thin, thick, thin]):
        assert "thin" not in labels(classifier, *order)
    assert "thin" not in labels(classifier, thin, image(classifier))
    assert "thin scan" in labels(classifier, thin, thick)


def test_entries_of_a_series_level_type_are_alternatives_for_each_image(
    classifier: Classifier,
) -> None:
    first, second = image(classifier, EchoTime=5), image(classifier, EchoTime=99)
    assert "short" in labels(classifier, first, second)
    assert "short" not in labels(classifier, first, second, image(classifier, EchoTime=50))


_orientations = st.sampled_from([_AXIAL, _SAGITTAL, _OBLIQUE, None])
_images = st.lists(
    st.tuples(_orientations, st.sampled_from([1, 5, None]), st.sampled_from([5, 99, 50])),
    min_size=1, max_size=6,
)  # fmt: skip
_classify = Classifier(load_rules(_RULES))


class Made:
    """Facts without a file."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def texts(self, field: Field) -> Sequence[str]:
        return self._values.get(field.name, [])

    def key(self, fields: Sequence[Field]) -> Any:
        return tuple(tuple(self.texts(field)) for field in fields)


@settings(deadline=None)
@given(_images, st.randoms(), st.integers(0, 6))
def test_batches_merge_in_any_order_and_images_may_come_twice(
    made: list[tuple[Any, ...]], random: Any, cut: int
) -> None:
    images = [
        _classify.image(
            Made({
                "ImageOrientationPatient": [str(one) for one in orientation or []],
                "SliceThickness": [str(thickness)] if thickness else [],
                "EchoTime": [str(echo)],
            })
        )
        for orientation, thickness, echo in made
    ]  # fmt: skip
    whole = _classify.merge(images)
    again = images + images[:2]
    random.shuffle(again)
    first, second = _classify.merge(again[:cut]), _classify.merge(again[cut:])
    stored = _classify.restore(json.loads(json.dumps(first.to_json())))
    assert stored is not None
    assert stored | second == second | stored == whole
    assert _classify.labels(stored | second) == _classify.labels(whole)
    one_by_one = set(_classify.labels(whole)) - {"thin", "short", "scan", "thin scan", "oblique"}
    assert one_by_one >= {t for one in images for t in _classify.labels(one)} & {
        "axial",
        "sagittal",
    }


def test_a_state_that_other_rules_made_counts_as_none(classifier: Classifier) -> None:
    other = Classifier(load_rules(_RULES.replace("value: 2}", "value: 3}")))
    state = image(other, SliceThickness=1)
    assert classifier.restore(state.to_json()) is None
    assert classifier.restore(None) is None
    with pytest.raises(ValueError, match="different rules"):
        classifier.merge([state])


def test_rules_that_differ_in_words_only_keep_their_states(classifier: Classifier) -> None:
    other = Classifier(load_rules(_RULES.replace("type: axial", "type: axial\n    description: x")))
    assert other.restore(image(classifier).to_json()) is not None


class Counting(HeaderFacts):
    """Counts what is read."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(header_of(attributes))
        self.read: list[str] = []

    def texts(self, field: Field) -> Sequence[str]:
        self.read.append(field.name)
        return super().texts(field)


def test_an_element_is_read_once_per_image_and_not_at_all_for_an_equal_one() -> None:
    classifier = Classifier(load_rules(_RULES))
    first, second, third = (Counting(SliceThickness=one, EchoTime=5) for one in (1, 1, 3))
    assert classifier.image(first) == classifier.image(second)
    assert len(first.read) == len(set(first.read)) and "EchoTime" in first.read
    assert second.read == []
    assert classifier.image(third) != classifier.image(first)
    assert "EchoTime" in third.read


def test_images_are_only_equal_if_their_facts_are() -> None:
    rules = load_rules("{format: 1, name: n, entries: [{type: T, rules: "
                       "[{tag: called_aet, operator: ==, value: A}]}]}")  # fmt: skip
    classifier = Classifier(rules)
    header = header_of({})
    found = [classifier.image(HeaderFacts(header, {"called_aet": one})) for one in "ABA"]
    assert [classifier.labels(one) for one in found] == [("T",), (), ("T",)]


def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    classifier = Classifier(load_rules(_RULES), most_remembered=3)
    for thickness in range(1, 9):
        image(classifier, SliceThickness=thickness)
        assert len(classifier._remembered) <= 3
    before = len(classifier._remembered)
    huge = Made({"EchoTime": ["1" * 50_000]})
    assert classifier.image(huge) == classifier.image(huge)
    assert len(classifier._remembered) == before


def test_a_long_chain_of_references_is_followed() -> None:
    links = "".join(
        f"  - {{type: T{n}, id: I{n}, rules: [{{rule: I{n + 1}}}]}}\n" for n in range(1100)
    )
    end = "  - {type: end, id: I1100, rules: [{tag: Rows, operator: exist}]}\n"
    classifier = Classifier(load_rules(f"format: 1\nname: n\nentries:\n{links}{end}"))
    assert len(classifier.labels(classifier.image(facts(Rows=1)))) == 1101
    assert classifier.labels(classifier.image(facts())) == ()
