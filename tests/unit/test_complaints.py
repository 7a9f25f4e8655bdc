"""What services say to people: found in the source, translated on pages, values and all."""

import re
from typing import get_args

import pytest
from babel.messages.pofile import read_po
from pydantic_core.core_schema import ErrorType

from services.api.problems import WORDS
from services.api.web.languages import CATALOGUES, COMPLAINTS, LANGUAGES, translated
from tests.complaints import CARRIERS, Finder, UnknownSentenceError, complaints, read

OTHERS = sorted(set(LANGUAGES) - {"en"})
_VALUE = re.compile(r"%\((\w+)\)s")
TEMPLATES = sorted(one for one in complaints() if _VALUE.search(one))
PROGRAMMERS = {
    "arguments_type", "assertion_error", "callable_type", "counter_type", "dataclass_exact_type",
    "dataclass_type", "default_factory_not_called", "deque_type", "ellipsis_error",
    "frozen_dict_type", "frozen_field", "frozen_instance", "frozen_set_type",
    "get_attribute_error", "invalid_key", "is_instance_of", "is_subclass_of", "iterable_type",
    "iteration_error", "mapping_type", "missing_argument", "missing_keyword_only_argument",
    "missing_positional_only_argument", "missing_sentinel_error", "multiple_argument_values",
    "named_tuple_type", "needs_python_object", "no_such_attribute", "ordered_dict_type",
    "recursion_depth_exceeded", "recursion_loop", "set_item_not_hashable",
    "unexpected_keyword_argument", "unexpected_positional_argument", "union_tag_invalid",
    "union_tag_not_found",
}  # fmt: skip
"""What no request can bring about: calls of functions, Python's own objects."""
UNUSED = {
    "bytes_invalid_encoding", "bytes_too_long", "bytes_too_short", "bytes_type",
    "complex_str_parsing", "complex_type", "date_future", "date_past", "datetime_future",
    "datetime_past", "decimal_max_digits", "decimal_max_places", "decimal_parsing",
    "decimal_type", "decimal_whole_digits", "fraction_parsing", "fraction_type", "json_type",
    "timezone_offset", "uuid_version",
}  # fmt: skip
"""Of types that no field here has."""


def said_by(source: str) -> set[str]:
    """The sentences in a module that imports what raises problems."""
    head = "from services.api.problems import FieldError, not_found, rule_broken\n"
    problems = read("services.api.problems", "services/api/problems.py", "WORDS = {}")
    here = read("services.api.here", "services/api/here.py", head + source)
    return Finder({one.name: one for one in (problems, here)}).every()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('rule_broken("a", "No.")', {"No."}),
        ('FieldError(field="a", message="No.")', {"No."}),
        ('not_found("horse")', {"There is no such horse."}),
        ('raise ValueError("no")', {"no"}),
        ('rule_broken("a", f"At most {most} %.")', {"At most %(most)s %%."}),
        ('_MOST = 3\nrule_broken("a", f"At most {_MOST}.")', {"At most %(most)s."}),
        ('_WHO = "You"\nrule_broken("a", f"{_WHO} may not.")', {"You may not."}),
        ('_WHY = {1: "One.", 2: "Two."}\nrule_broken("a", _WHY[n])', {"One.", "Two."}),
        ('rule_broken("a", "One." if n else "Two.")', {"One.", "Two."}),
        ('def f():\n m = "No."\n rule_broken("a", m)', {"No."}),
        ('def f(m):\n rule_broken("a", m)\nf("No.")', {"No."}),
        ('def f(b):\n def g(m): rule_broken("a", m)\n g("No.")', {"No."}),
        ('def f():\n return "No."\nrule_broken("a", f())', {"No."}),
        ('def f():\n x_in_words = "so"\n rule_broken("a", f"Not {x_in_words}.")',
         {"Not %(x_in_words)s.", "so"}),
        ('rule_broken("a", one.objection.in_words)', set()),
    ],
)  # fmt: skip
def test_sentences_are_found(source: str, found: set[str]) -> None:
    assert said_by(source) == found


@pytest.mark.parametrize(
    "source",
    [
        'rule_broken("a", f"At most {len(names)}.")',
        'rule_broken("a", f"{a.name} is {b.name}.")',
        'rule_broken("a", "No, " + name)',
        'rule_broken("a", ", ".join(names))',
        'rule_broken("a", str(error))',
        'FieldError(field="a", message="No {}".format(name))',
        'rule_broken("a", message)',
        'def f():\n message = str(error) + "."\n rule_broken("a", message)',
    ],
)
def test_what_could_not_be_translated_is_refused(source: str) -> None:
    with pytest.raises(UnknownSentenceError, match=r"services/api/here.py:\d"):
        said_by(source)


def test_everything_that_takes_sentences_is_still_there() -> None:
    """A carrier that was moved or renamed would be looked for in vain."""
    for name in set(CARRIERS) - {"ValueError"}:
        home, _, short = name.rpartition(".")
        assert hasattr(__import__(home, fromlist=[short]), short), name


def test_pydantic_says_nothing_of_its_own() -> None:
    assert set(get_args(ErrorType)) == {*WORDS, *PROGRAMMERS, *UNUSED, "value_error"}


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_sentence_is_translated_by_its_template(template: str, language: str) -> None:
    """And no other template takes it for its own."""
    with (CATALOGUES / language / COMPLAINTS).open("rb") as file:
        message = read_po(file, locale=language).get(template)
    assert message is not None, "it has values: it must stand in the catalogue of complaints"
    values = {name: f"<{name}>\n%(x)s & 7" for name in _VALUE.findall(template)}
    assert translated(language, template % values) == str(message.string) % values
    assert translated("en", template % values) == template % values


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_says_enough_to_be_known_by(template: str) -> None:
    """One of values only would take other people's sentences for its own."""
    assert len(re.findall("[A-Za-z]", _VALUE.sub("", template))) >= 4


def test_values_stay_as_people_wrote_them() -> None:
    # All of them are sentences or words that the catalogue has.
    assert translated("nb", "The project has no site patient.") == (
        "Prosjektet har ikke senteret patient."
    )
    assert translated("nb", "The project has no site This is missing..") == (
        "Prosjektet har ikke senteret This is missing.."
    )


def test_sentences_in_sentences_are_translated() -> None:
    assert translated("nb", "Row 7 says another participant for the same patient.") == (
        "Rad 7 oppgir en annen deltaker for samme pasient."
    )
    said = "rule 3: unknown action 'no'; choose one of keep, remove"
    assert translated("nb", said) == ("regel 3: handlingen «no» er ukjent; velg en av keep, remove")


def test_what_nobody_knows_stays() -> None:
    assert translated("nb", "") == ""
    assert translated("nb", "0xA700: out of resources") == "0xA700: out of resources"
    assert translated("../../etc", "The project has no site A.") == "The project has no site A."
