"""Whatever texts people and senders come up with: an answer or a refusal, and never a crash."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import participants, patterns
from shared.participants import NumbersUsedUp
from shared.patterns import PatternError
from shared.spool import Spool
from tests.unit.test_documents import ROOT

HOSTILE = st.text(
    alphabet=st.sampled_from("ab01.*+?()[]{}|^$\\-#:/\0\n\u00e5\u202e\U0001f600") | st.characters(),
    max_size=60,
)
UID = st.from_regex(r"\A[0-9]{1,9}(\.[0-9]{1,9}){0,5}\Z") | HOSTILE
"""Some are legal, some nearly, and most are nothing of the kind."""


@given(study=UID, series=UID, instance=UID, revision=st.integers(1, 1 << 40))
@example(study="1.2", series="..", instance="1", revision=1)
def test_uids_make_a_path_in_the_spool_or_none(
    study: str, series: str, instance: str, revision: int
) -> None:
    spool = Spool(Path("/spool"))
    try:
        keys = [
            Spool.received_key(study, series, instance, revision),
            Spool.released_key(revision, series, instance, revision),
        ]
    except ValueError:
        return
    for key in keys:
        path = spool.path(key)
        assert path.resolve().is_relative_to("/spool") and ".." not in path.parts
    assert keys[0].split("/")[:3] == ["received", study, series]


@given(one=st.tuples(UID, UID, UID), other=st.tuples(UID, UID, UID))
def test_two_images_never_share_a_file(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    try:
        keys = [Spool.received_key(*uids, 1) for uids in (one, other)]
    except ValueError:
        return
    assert (keys[0] == keys[1]) == (one == other)


@given(pattern=HOSTILE, text=HOSTILE)
@example(pattern="(a+)+$", text="a" * 60 + "!")
@example(pattern="(" * 60, text="")
@example(pattern="a{1000}{1000}", text="a")
def test_patterns_are_refused_or_answered(pattern: str, text: str) -> None:
    try:
        patterns.check(pattern)
    except PatternError as error:
        assert "not a regular expression" in str(error)
        return
    whole = patterns.matches_whole(pattern, text)
    assert not whole or patterns.matches_start(pattern, text)


@given(text=HOSTILE)
def test_a_text_that_is_escaped_matches_itself_only(text: str) -> None:
    pattern = re.escape(text)
    try:
        patterns.check(pattern)
    except PatternError:
        return
    assert patterns.matches_whole(pattern, text)
    assert not patterns.matches_whole(pattern, text + "x")


TEMPLATES = st.lists(
    st.sampled_from(["{n}", "{n:3}", "{site}", "{site:2}"])
    | st.from_regex(r"\A[A-Za-z0-9._-]{0,6}\Z"),
    max_size=5,
).map("".join) | HOSTILE  # fmt: skip


@given(pattern=TEMPLATES, site=st.sampled_from(["", "01", "BGO"]))
def test_templates_make_ids_that_they_take(pattern: str, site: str) -> None:
    try:
        template = participants.template(pattern)
    except PatternError:
        return
    if template is None or (template.needs_site and not site):
        return
    made: list[str] = []
    try:
        for _ in range(3):
            made.append(template.next_id(made, site))
    except NumbersUsedUp:
        pass
    for one in made:
        assert patterns.matches_whole(template.expression(site), one)
    assert all(one != next_ for one, next_ in pairwise(made))


def test_the_threat_model_names_tests_that_there_are() -> None:
    text = (ROOT / "docs/threat-model.md").read_text()
    named = re.findall(r"`((?:unit|integration|e2e|chaos)/[a-z_]+\.py)`", text)
    assert len(named) > 25
    assert [one for one in named if not (ROOT / "tests" / one).exists()] == []


@pytest.mark.parametrize("name", ["inbox", "received", "released", "quarantine"])
@given(rest=HOSTILE)
def test_a_folder_that_is_known_does_not_make_a_key_good(name: str, rest: str) -> None:
    try:
        path = Spool(Path("/spool")).path(f"{name}/{rest}")
    except ValueError:
        return
    assert path.resolve().is_relative_to(f"/spool/{name}") and "\0" not in str(path)
