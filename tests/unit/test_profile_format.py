"""A project's own profile: its format, its regular expressions, and the document about it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.profile import Action, Rule, load_profile, source_profile
from shared.profile.checks import OFFERED
from shared.profile.edits import EditError, check_edit, edited
from shared.profile.format import Document, Entry, ProfileError
from shared.profile.ps315 import OPTIONS
from tests.profiles import action, own, text


def problems(*entries: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(ProfileError) as raised:
        own(*entries, **more)
    return raised.value.problems


def test_a_project_overrides_its_base() -> None:
    profile = own(
        {"element": "(0008,1030)", "action": "literal", "value": "Study", "note": "all alike"},
        {"element": "0010,1010", "action": "remove"},
        {"element": "SeriesDescription", "action": "regex", "pattern": "room ([0-9]+)",
         "replacement": r"room of \1"},
        version="7",
    )  # fmt: skip
    assert (profile.name, profile.version) == ("own", "7")
    assert profile[0x00081030] == Rule(
        0x00081030, "StudyDescription", Action.LITERAL, "Study", "all alike"
    )
    assert action(profile, 0x00101010) is Action.REMOVE
    rule = profile[0x0008103E]
    assert (rule.action, rule.pattern, rule.value) == (
        Action.REGEX, "room ([0-9]+)", r"room of \1"
    )  # fmt: skip
    same = set(source_profile()) - {0x00081030, 0x00101010, 0x0008103E}
    assert all(profile[tag] == source_profile()[tag] for tag in same)


def test_a_project_may_build_on_the_standards_profile() -> None:
    profile = own({"element": "StudyDescription", "action": "keep"}, base="ps3.15",
                  options=["retain-device-identity"])  # fmt: skip
    assert action(profile, 0x00081030) is Action.KEEP
    assert action(profile, 0x00081010) is Action.KEEP  # StationName
    assert profile.unlisted_private is Action.REMOVE
    assert own(base="ps3.15", unlisted_private="keep").unlisted_private is Action.KEEP


def test_an_unknown_action_is_named_with_what_there_is() -> None:
    good = {"element": "PatientAge", "action": "remove"}
    (found,) = problems(good, good | {"element": "PatientSex"},
                        {"element": "PatientWeight", "action": "remvoe"})  # fmt: skip
    assert found.startswith("rule 3: unknown action 'remvoe'; choose one of keep, remove, empty,")
    assert "dummy" in found and "regex" in found and "codes" not in found


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"element": "PatientNam"}, "did you mean PatientName"),
        ({"element": "?"}, "write '(0010,0010)' or PatientName"),
        ({"element": "(0010,001)"}, "names no element"),
        ({"element": "(0029,1010)"}, "name its creator, and the element as 'xx10'"),
        ({"creator": "X", "element": "(0029,1010)"}, "write 'xx10' or '(0029,xx10)'"),
        ({"creator": "X", "element": "(0028,xx10)"}, "not private"),
        ({"element": "(0029,xxxx)", "action": "empty"}, "kept or removed only"),
        ({"element": "PatientName"}, "PatientName is settled by Sluse itself"),
        ({"element": "(0012,xxxx)"}, "PatientIdentityRemoved is settled by Sluse itself"),
        ({"element": "(0013,xxxx)"}, "is settled by Sluse itself"),
        ({"element": "(00xx,0010)"}, "structure"),
        ({"element": "(0002,0016)"}, "structure"),
        ({"element": "(0008,0000)"}, "structure"),
        ({"element": "SOPInstanceUID"}, "kept or mapped"),
        ({"element": "StudyInstanceUID", "action": "keep", "when": {"modality": ["MR"]}}, "alike"),
        ({"action": "incrementdate"}, "not for StudyDescription, which is LO; it is for DA, DT"),
        ({"action": "process"}, "it is for SQ"),
        ({"element": "FrameOfReferenceUID", "action": "hash"}, "which is UI"),
        ({"element": "AccessionNumber", "action": "SITENAME"}, "which is SH"),
        ({"action": "literal"}, "needs a value"),
        ({"action": "literal", "value": "x" * 65}, "no legal value"),
        ({"element": "StudyDate", "action": "literal", "value": "1.1.2020"}, "no legal value"),
        ({"value": "x"}, "takes no value"),
        ({"pattern": "x"}, "takes no pattern"),
        ({"replacement": "x"}, "goes with"),
        ({"action": "regex", "pattern": "x", "value": "y"}, "goes with"),
        ({"action": "regex", "pattern": "("}, "not a regular expression"),
        ({"action": "regex"}, "matches the empty text"),
        ({"action": "regex", "pattern": "(?=a)b"}, "not a regular expression"),
        ({"action": "regex", "pattern": "a", "replacement": r"\1"}, r"group \1, the pattern has 0"),
        ({"when": {}}, "neither modality nor sop_class"),
        ({"when": {"modality": ["mr"]}}, "'mr' is no modality"),
        ({"when": {"sop_class": ["MRImage"]}}, "'MRImage' is no SOP class"),
        ({"when": {"modalities": ["MR"]}}, "when.modalities is not known here"),
        ({"when": {"modality": "MR"}}, "when.modality should be a valid list"),
        ({"tag": 1}, "tag is not known here"),
        ({"action": 3}, "action should be a valid string"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(entry: dict[str, Any], words: str) -> None:
    fine = {"element": "PatientAge", "action": "remove"}
    found = problems(fine, {"element": "StudyDescription", "action": "remove"} | entry)
    assert len(found) == 1 and found[0].startswith("rule 2: ") and words in found[0], found


def test_the_same_element_twice_is_a_mistake() -> None:
    one = {"element": "StudyDescription", "action": "remove"}
    (found,) = problems(one, {"element": "(0008,1030)", "action": "keep"})
    assert found == "rule 2: rule 1 is about the same element"
    own(one, one | {"when": {"modality": ["MR"]}})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{", "line 1, column 2: not JSON"),
        ("[]", "the profile should be an object"),
        ("[" * 100_000, "nested too deep"),
        ('{"format": 1, "format": 1}', "'format' is given twice in one place"),
        (text(format=2), "format '2' is not possible; choose one of 1"),
        (text(base="other"), "choose one of 'source-2019', 'ps3.15'"),
        (text(options=["retain-uids"]), "options: 'source-2019' has none"),
        (text(base="ps3.15", options=["keep-all"]), "options: unknown option 'keep-all'; choose"),
        (text(unlisted_private="maybe"), "unlisted_private 'maybe' is not possible"),
        (text(name=""), "name should have at least 1 character"),
        (text(rule=[]), "rule is not known here"),
        ('{"format": 1, "base": "ps3.15"}', "name is missing"),
        (text(rules=[5]), "rule 1: it should be an object"),
    ],
)
def test_what_is_wrong_with_the_whole_is_said(written: str, words: str) -> None:
    with pytest.raises(ProfileError) as raised:
        load_profile(written)
    assert words in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    found = problems({"element": "Nothing", "action": "no"}, {"element": "x", "action": "keep"})
    assert [one.split(":")[0] for one in found] == ["rule 1", "rule 1", "rule 2"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["format", "name", "base", "rules", "element", "action",
                                         "when", "modality"]), inner, max_size=8)))  # fmt: skip
def test_nonsense_is_refused_with_words(document: Any) -> None:
    with pytest.raises(ProfileError) as raised:
        load_profile(json.dumps(document))
    assert all(raised.value.problems)


DOCUMENT = (Path(__file__).parents[2] / "docs/profiles.md").read_text()


def test_the_documents_examples_are_profiles() -> None:
    examples = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert examples
    for example in examples:
        assert load_profile(example).rules


def test_the_document_names_every_action_and_option() -> None:
    first_cells = re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE)
    named = set(re.findall("`([^`]+)`", " ".join(first_cells)))
    assert set(OFFERED) | set(OPTIONS) <= named
    assert named <= set(OFFERED) | set(OPTIONS) | set(Document.model_fields) | set(
        Entry.model_fields
    )


# Edits


def test_an_edit_keeps_what_its_groups_matched() -> None:
    pattern, replacement = r"Dr\. \w+, (room \d+)", r"\1 \\ x"
    check_edit(pattern, replacement)
    before = "Dr. Who, room 7; Dr. No, room 8"
    assert edited(pattern, replacement, before) == r"room 7 \ x; room 8 \ x"
    assert edited("é+", "e", "Ærlig éé") == "Ærlig e"


@pytest.mark.parametrize("replacement", [r"\2", r"\0", r"\g<1>", "\\"])
def test_a_replacement_names_groups_that_there_are(replacement: str) -> None:
    with pytest.raises(EditError):
        check_edit("(a)", replacement)
