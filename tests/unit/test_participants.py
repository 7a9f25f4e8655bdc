"""Participant ids: templates, regular expressions, the next number."""

import pytest

from shared.participants import NumbersUsedUp, Template, check, fits, is_site_code, template
from shared.patterns import PatternError


def made_by(pattern: str) -> Template:
    found = template(pattern)
    assert found is not None
    return found


def test_a_template_gives_the_number_after_the_highest() -> None:
    made = made_by("BICAM_{n:4}")
    assert made.next_id([]) == "BICAM_0001"
    assert made.next_id(["BICAM_0001", "BICAM_0007", "OTHER_9999", "BICAM_12345"]) == "BICAM_0008"


def test_each_site_counts_for_itself() -> None:
    made = made_by("BICAM{site:2}_{n:3}")
    assert made.needs_site
    assert made.next_id(["BICAM01_004", "BICAM02_009"], "01") == "BICAM01_005"
    assert made.next_id(["BICAM01_004", "BICAM02_009"], "03") == "BICAM03_001"


def test_a_number_without_a_width_never_ends() -> None:
    assert made_by("P{n}").next_id(["P9", "P10"]) == "P11"


def test_numbers_can_be_used_up() -> None:
    with pytest.raises(NumbersUsedUp):
        made_by("P{n:1}").next_id(["P9"])


@pytest.mark.parametrize("pattern", ["BICAM_[0-9]{3}", "[A-Z]{2}", ".*"])
def test_what_names_no_field_is_a_regular_expression(pattern: str) -> None:
    assert template(pattern) is None and check(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["{site:2}", "{n}{n}", "P{n} x", "[A-Z]{n:3}", "{site}{site}{n}", "P{n:44}", "("]
)
def test_what_is_neither_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        check(pattern)


@pytest.mark.parametrize(
    ("pattern", "participant", "site", "fitting"),
    [
        (None, "anything", "", True),
        (None, "with blank", "", False),
        ("BICAM_[0-9]{3}", "BICAM_001", "", True),
        ("BICAM_[0-9]{3}", "BICAM_0011", "", False),
        ("BICAM_{n:3}", "BICAM_001", "", True),
        ("BICAM_{n:3}", "BICAM_1", "", False),
        ("B{site:2}_{n:3}", "B01_001", "01", True),
        ("B{site:2}_{n:3}", "B02_001", "01", False),
        ("B{site:2}_{n:3}", "B02_001", "", True),
        ("P.{n}", "PX1", "", False),
    ],
)
def test_ids_fit_their_pattern(
    pattern: str | None, participant: str, site: str, fitting: bool
) -> None:
    assert fits(pattern, participant, site) is fitting


def test_the_next_id_always_fits() -> None:
    for pattern in ("A_{n:2}", "{n}", "X-{site}-{n:3}", "{site:2}{n:4}.z"):
        participant = made_by(pattern).next_id([], "07")
        assert fits(pattern, participant, "07")


def test_site_codes_have_the_templates_width() -> None:
    assert is_site_code("07", "B{site:2}_{n}") and is_site_code("Oslo", "B{site}_{n}")
    assert not is_site_code("7", "B{site:2}_{n}") and not is_site_code("Førde", "B{site}_{n}")
    assert is_site_code("7", None)
