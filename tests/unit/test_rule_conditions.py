"""What people enter as rows becomes a pattern, and that becomes the same rows."""

from itertools import product

import pytest
from markupsafe import Markup
from starlette.datastructures import FormData

from services.api.problems import ProblemError
from services.api.routing_rules.trying import GOES_FIRST, TAKEN_OUT, THERE_ALREADY
from services.api.web.rules.conditions import (
    MOST_ROWS,
    PATIENT_ID,
    Conditions,
    How,
    Row,
    conditions_of,
    examine,
    pattern_of,
    rows_of,
)
from services.api.web.rules.entering import read_form
from services.api.web.rules.reasons import reason_in
from shared.ledger.tables import RoutingRule
from shared.patterns import matches_start

VALUES = [
    "BICAM_",
    "a.b",
    "x|y",
    "A\\",
    "^Nordmann^Kari$",
    "(a)",
    "a#1",
    "#",
    "a*b",
    "[0-9]",
    "æ ø",
    "$",
    "\\|",
]
IDS = [*VALUES, "BICAM_001", "BICAM_01", "a1", "ab", "7", "a7b", "x", "aXb", "A", ""]


def row(how: How, value: str = "") -> Row:
    return Row(PATIENT_ID, how, value)


def test_every_row_says_what_its_name_does() -> None:
    for value, text in product(VALUES, IDS):
        begins, same = (pattern_of([row(how, value)]) for how in (How.BEGINS, How.IS))
        assert matches_start(begins, text) is text.startswith(value), (value, text)
        assert matches_start(same, text) is (text == value), (value, text)
    assert matches_start(pattern_of([row(How.ANY)]), "")


@pytest.mark.parametrize(
    ("like", "fits", "misfits"),
    [
        ("BICAM_###", ["BICAM_001"], ["BICAM_01", "BICAM_0001", "BICAM_00a", "xBICAM_001"]),
        ("BICAM_###*", ["BICAM_001", "BICAM_0012", "BICAM_001x"], ["BICAM_01"]),
        ("*_#", ["a_1", "_1", "a.b_2"], ["a_1b", "a1"]),
        ("a.(#)", ["a.(1)"], ["ab(1)", "a.1"]),
    ],
)
def test_signs_stand_for_digits_and_anything(
    like: str, fits: list[str], misfits: list[str]
) -> None:
    pattern = pattern_of([row(How.LIKE, like)])
    assert [matches_start(pattern, text) for text in fits] == [True] * len(fits)
    assert [matches_start(pattern, text) for text in misfits] == [False] * len(misfits)
    assert rows_of(PATIENT_ID, pattern) == [row(How.LIKE, like)]


def test_of_several_rows_one_is_enough() -> None:
    rows = [row(How.BEGINS, "A|"), row(How.EXPRESSION, "B|C"), row(How.IS, "D")]
    pattern = pattern_of(rows)
    found = [matches_start(pattern, text) for text in ("A|1", "A", "B1", "C", "D", "D1")]
    assert found == [True, False, True, True, True, False]


def test_rows_come_back_as_they_were() -> None:
    for how, value in product((How.BEGINS, How.IS), VALUES):
        for rows in ([row(how, value)], [row(how, value), row(How.IS, "other")]):
            back = rows_of(PATIENT_ID, pattern_of(rows))
            # Where they can't, they stand there as an expression: never as something else.
            assert back == rows or [one.how for one in back] == [How.EXPRESSION], rows
            assert pattern_of(back) == pattern_of(rows)
    assert rows_of(PATIENT_ID, "(?:BICAM_|PHANTOM$)") == [
        row(How.BEGINS, "BICAM_"), row(How.IS, "PHANTOM")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        ("BICAM_[0-9]{3}", [row(How.LIKE, "BICAM_###*")]),
        ("AAA_", [row(How.BEGINS, "AAA_")]),
        ("^AAA_.*", [row(How.BEGINS, "AAA_")]),
        (".*", [row(How.ANY)]),
        ("A\\$", [row(How.BEGINS, "A$")]),
        ("", []),
    ],
)
def test_a_pattern_from_elsewhere_is_shown_in_words(pattern: str, rows: list[Row]) -> None:
    assert rows_of(PATIENT_ID, pattern) == rows


@pytest.mark.parametrize(
    "pattern",
    ["A\\\\$", "(?i)abc", "A|B.*", "(?:a|(?:b))", "[0-9][0-9]", "a\\*[0-9]", "A\\.*", "$", "^^A",
     "\\d{3}", "[A-Z]_?[0-9]", "\\QA.*"],
)  # fmt: skip
def test_what_rows_can_not_say_stays_as_it_is(pattern: str) -> None:
    assert rows_of(PATIENT_ID, pattern) == [row(How.EXPRESSION, pattern)]
    assert pattern_of(rows_of(PATIENT_ID, pattern)) == pattern


def test_what_a_form_can_not_give_back_stays_an_expression() -> None:
    many = "(?:" + "|".join(f"A{number:02}" for number in range(MOST_ROWS + 1)) + ")"
    for pattern in (many, "TEST ", " TEST$", "(?:A|B )"):
        assert rows_of(PATIENT_ID, pattern) == [Row(PATIENT_ID, How.EXPRESSION, pattern)]
    assert len(rows_of(PATIENT_ID, many.replace("|A20", ""))) == MOST_ROWS


def test_a_form_is_read_whole_or_not_at_all() -> None:
    def sent(how: How, values: list[str]) -> FormData:
        rows = [("patient_field", PATIENT_ID), ("patient_how", how.value)]
        return FormData([pair for value in values for pair in (*rows, ("patient_value", value))])

    (row,) = read_form(sent(How.EXPRESSION, ["TEST "])).conditions.patients
    assert row.value == "TEST "
    (row,) = read_form(sent(How.BEGINS, [" TEST "])).conditions.patients
    assert row.value == "TEST"
    assert len(read_form(sent(How.IS, ["A"] * 40)).conditions.patients) == 40
    with pytest.raises(ProblemError):
        read_form(sent(How.IS, ["A"] * 50))


def test_whatever_is_read_means_the_same() -> None:
    for parts in product(["", "^", "(?:", "A"], ["B", ".*", "\\|", "[0-9]{2}"], ["|C", "\\"],
                         ["", "$", ".*", ")", "\\.*"]):  # fmt: skip
        pattern = "".join(parts)
        rows = rows_of(PATIENT_ID, pattern)
        if examine(row(How.EXPRESSION, pattern)):
            assert rows == [row(How.EXPRESSION, pattern)], pattern
            continue
        for text in ("A", "B", "AB", "ABC", "C", "|", "A|", "12", "12C", "A12", "\\", "A\\.", ""):
            same = matches_start(pattern_of(rows), text) is matches_start(pattern, text)
            assert same, (pattern, text)


def test_an_expression_is_examined_by_itself() -> None:
    assert "missing" in examine(row(How.EXPRESSION, "("))
    assert examine(row(How.EXPRESSION, "a)|(?:b")) != ""
    assert examine(row(How.BEGINS, "(")) == ""


def test_a_rule_is_read_into_conditions_and_back() -> None:
    rule = RoutingRule(
        name="r", project_id=1, calling_aet="MR1", patient_id_pattern="A$",
        patient_name_pattern="(?:B|C)",
    )  # fmt: skip
    conditions = conditions_of(rule)
    assert conditions.titles == [Row("calling_aet", How.IS, "MR1")]
    assert [one.value for one in conditions.patients] == ["A", "B", "C"]
    for name in ("called_aet", "calling_aet", "patient_id_pattern", "patient_name_pattern"):
        assert conditions.value(name) == getattr(rule, name)
    assert Conditions([], [row(How.BEGINS)]).value(PATIENT_ID) is None


def test_reasons_are_translated_whatever_stands_in_them() -> None:
    evil = "<i>” goes first. %(number)s"
    found = reason_in("nb", GOES_FIRST % {"name": evil})
    assert found == "Regelen «&lt;i&gt;” goes first. %(number)s» går foran."
    assert isinstance(found, Markup)
    told = reason_in("nb", TAKEN_OUT % {"number": 3, "state": "cancelled"})
    assert told == "Noen har tatt den ut av prosjektet: overføring 3 er avbrutt."
    assert reason_in("en", THERE_ALREADY % {"number": 3}) == THERE_ALREADY % {"number": 3}
    assert not isinstance(reason_in("nb", "<b>"), Markup)
