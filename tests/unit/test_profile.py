"""Profiles: the model, a project's own format, and PS3.15 Table E.1-1."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.valuerep import VR, validate_value

from shared.profile import DUMMIES, Action, Condition, Profile, Rule, legacy_profile, source_profile
from shared.profile.checks import OFFERED
from shared.profile.edits import EditError, check_edit, edited
from shared.profile.format import ProfileError, _Document, _Entry, load_profile
from shared.profile.model import ONE_ELEMENT
from shared.profile.ps315 import OPTIONS, Option, OptionError, ps315_profile
from shared.profile.tables import rows

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
REMOVED = Action.REMOVE


def text(*entries: dict[str, Any], **more: Any) -> str:
    return json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": entries} | more)


def own(*entries: dict[str, Any], **more: Any) -> Profile:
    return load_profile(text(*entries, **more))


def problems(*entries: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(ProfileError) as raised:
        own(*entries, **more)
    return raised.value.problems


def action(profile: Profile, tag: int) -> Action | None:
    rule = profile.get(tag)
    return rule.action if rule else None


# The model


def test_the_source_profile_keeps_what_it_does_not_name() -> None:
    profile = source_profile()
    assert (profile.name, profile.version) == ("source-2019", "2019")
    assert profile.unlisted_private is Action.KEEP
    assert profile.for_object("MR", MR) is profile
    assert profile.get(0x00180015) is not None and profile.get(0x60003000) is None
    assert profile.private("ANY", 0x10) is None
    with pytest.raises(KeyError):
        profile[0x60003000]


def test_legacy_projects_hash_the_accession_number_and_nothing_else_differs() -> None:
    source = source_profile()
    legacy = legacy_profile(source)
    different = {tag for tag in source if legacy[tag] != source[tag]}
    assert different == {0x00080050} and set(legacy) == set(source)
    assert legacy != source and legacy_profile(legacy) is legacy
    strict = legacy_profile(ps315_profile())
    assert strict[0x00080050].action is Action.HASH and strict.unlisted_private is REMOVED
    chosen = own({"element": "AccessionNumber", "action": "empty"})
    assert legacy_profile(chosen) is chosen


@pytest.mark.parametrize("tag", [0x60003000, 0x60023000, 0x601E3000])
def test_repeating_groups(tag: int) -> None:
    profile = own({"element": "(60xx,3000)", "action": "remove"})
    assert action(profile, tag) is REMOVED and profile[tag].action is REMOVED
    for other in (0x60010010 | 0x3000, tag + 1, 0x61003000, 0x50003000):
        assert profile.get(other) is None
    assert tag not in set(profile)  # iterated are single elements


def test_whole_groups() -> None:
    profile = own(
        {"element": "(50xx,xxxx)", "action": "remove"},
        {"element": "(0038,xxxx)", "action": "remove"},
        {"element": "(0038,0010)", "action": "empty"},
    )
    assert action(profile, 0x50040005) is action(profile, 0x00380300) is REMOVED
    assert action(profile, 0x00380010) is Action.EMPTY
    assert action(profile, 0x50050005) is None
    # What the base says of single elements is overridden by a later rule for the group.
    assert source_profile()[0x00380021].action is Action.KEEP
    assert action(profile, 0x00380021) is REMOVED


def test_private_elements_go_by_creator() -> None:
    profile = own(
        {"creator": "SIEMENS MR HEADER", "element": "(0019,xx0C)", "action": "keep"},
        {"creator": "SIEMENS MR HEADER", "element": "(0051,xx0c)", "action": "remove"},
        {"creator": "GEMS_IDEN_01 ", "element": "xx02", "action": "empty"},
        unlisted_private="remove",
    )
    assert profile.unlisted_private is REMOVED

    def found(creator: str, element: int, group: int = 0) -> Action | None:
        rule = profile.private(creator, element, group)
        return rule.action if rule else None

    assert found("SIEMENS MR HEADER", 0x0C, 0x0019) is Action.KEEP
    assert found("SIEMENS MR HEADER", 0x0C, 0x0051) is REMOVED
    assert found("SIEMENS MR HEADER", 0x0C, 0x0021) is None
    assert found("SIEMENS MR HEADER", 0x0C) is REMOVED
    assert found("GEMS_IDEN_01", 2) is found("GEMS_IDEN_01", 2, 0x0009) is Action.EMPTY
    assert found("GEMS_IDEN_01", 3) is found("OTHER", 2) is None


def test_a_later_rule_for_any_group_goes_before_earlier_ones() -> None:
    one = Rule(0x00190010, "", Action.KEEP, creator="A")
    every = Rule(0x00000010, "", REMOVED, creator="A")
    assert Profile("", "", [one, every]).private("A", 0x10, 0x0019) == every
    assert Profile("", "", [every, one]).private("A", 0x10, 0x0019) == one
    assert Profile("", "", [every, one]).private("A", 0x10, 0x0021) == every


def test_conditions_are_decided_for_an_object() -> None:
    profile = own(
        {"element": "StudyDescription", "action": "empty", "when": {"modality": ["MR", "PT"]}},
        {"element": "StudyDescription", "action": "keep"},
        {"element": "ProtocolName", "action": "remove",
         "when": {"modality": ["MR"], "sop_class": ["MRImageStorage"]}},
        {"creator": "A", "element": "xx01", "action": "remove", "when": {"sop_class": [CT]}},
    )  # fmt: skip
    study, protocol = 0x00081030, 0x00181030
    mr, ct = profile.for_object("MR", MR), profile.for_object("CT", CT)
    assert action(profile, study) is action(ct, study) is Action.KEEP
    assert action(mr, study) is Action.EMPTY  # though the rule for all comes later
    assert action(mr, protocol) is REMOVED
    assert action(profile.for_object("MR", CT), protocol) == action(source_profile(), protocol)
    assert ct.private("A", 1) is not None and mr.private("A", 1) is None
    assert profile.for_object("MR", MR) is mr and mr.for_object("CT", CT) is mr
    for n in range(100):
        profile.for_object(f"X{n}", "")
    assert len(profile._for_objects) == 4  # MR, CT, both, neither


def test_profiles_are_equal_by_content_and_travel() -> None:
    entry = {"element": "StudyDescription", "action": "empty", "when": {"modality": ["MR"]}}
    made = [source_profile(), legacy_profile(source_profile()), ps315_profile(), own(entry),
            ps315_profile(frozenset({"retain-uids"})), own(entry).for_object("MR", MR)]  # fmt: skip
    assert len(set(made)) == len(made)
    for profile in made:
        data = pickle.dumps(profile)
        assert pickle.loads(data) == profile
        assert hash(pickle.loads(data)) == hash(profile)
    assert len(pickle.dumps(own(entry))) < 500  # by what made it, not rule by rule
    assert pickle.loads(pickle.dumps(own(entry))) is own(entry)
    assert "1 rules" in repr(Profile("a", "1", [Rule(1, "", REMOVED)]))


def test_a_condition_with_nothing_in_it_holds_for_all() -> None:
    assert Condition().holds("MR", MR)
    assert not Condition(modalities=frozenset({"CT"})).holds("MR", MR)


@pytest.mark.parametrize("vr", sorted(DUMMIES))
def test_placeholders_are_legal(vr: str) -> None:
    value = DUMMIES[vr]
    if vr in ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC",
              "UR", "UT"):  # fmt: skip
        validate_value(vr, value.decode(), 2)
        DataElement(0x00091010, vr, value.decode())
    else:
        assert not any(value) and len(value) % 2 == 0


def test_there_is_a_placeholder_for_each_representation() -> None:
    assert set(DUMMIES) == {str(vr) for vr in VR if len(str(vr)) == 2} - {"SQ", "UI"}


# A project's format


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
    assert action(profile, 0x00101010) is REMOVED
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
    assert profile.unlisted_private is REMOVED
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
        (text(format=2), "format '2' is not possible; choose 1"),
        (text(base="other"), "choose 'source-2019' or 'ps3.15'"),
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
    assert len(examples) == 2
    for example in examples:
        assert load_profile(example).rules


def test_the_document_names_every_action_and_option() -> None:
    first_cells = re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE)
    named = set(re.findall("`([^`]+)`", " ".join(first_cells)))
    assert set(OFFERED) | set(OPTIONS) <= named
    assert named <= set(OFFERED) | set(OPTIONS) | set(_Document.model_fields) | set(
        _Entry.model_fields
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


# PS3.15

TABLE = rows("ps315.csv")
SINGLE = [row for row in TABLE if "x" not in row["tag"] and "g" not in row["tag"]
          and row["tag"] >= "(0008"]  # fmt: skip
OWN = {0x00080050, 0x00080080, 0x00081010, 0x00100010, 0x00100020, 0x00120062, 0x00120063,
       0x00120064, 0x00200010, 0x00280303}  # fmt: skip


def number(row: dict[str, str]) -> int:
    return int(re.sub("[(),]", "", row["tag"]), 16)


def test_the_table_is_whole_and_its_representations_are_the_dictionarys() -> None:
    assert len(TABLE) == 621 and len(SINGLE) > 600
    for row in SINGLE:
        assert row["vr"] == dictionary_VR(number(row)).split(" ")[0]
        assert number(row) in ps315_profile()


@pytest.mark.parametrize("row", SINGLE, ids=lambda row: row["name"])
def test_each_row_of_the_basic_profile(row: dict[str, str]) -> None:
    found = ps315_profile()[number(row)].action
    if number(row) in OWN:
        return
    wanted = {
        "X": {Action.REMOVE},
        "Z": {Action.EMPTY},
        "D": {Action.DUMMY, Action.HASHUID_PROJECT},
        "U": {Action.HASHUID_PROJECT},
        "X/Z": {Action.EMPTY},
        "X/D": {Action.DUMMY, Action.EMPTY},
        "Z/D": {Action.DUMMY},
        "X/Z/D": {Action.DUMMY, Action.EMPTY},
        "X/Z/U*": {Action.PROCESS},
    }[row["basic"]]
    assert found in wanted
    if found is Action.HASHUID_PROJECT:
        assert row["vr"] == "UI"
    if found is Action.EMPTY and row["basic"].endswith("D"):
        assert row["vr"] == "SQ"


def test_what_sluse_sets_is_set_in_the_standards_profile_too() -> None:
    profile = ps315_profile()
    assert action(profile, 0x00100010) is action(profile, 0x00100020) is Action.PARTICIPANT
    assert action(profile, 0x00080050) is action(profile, 0x00200010) is Action.STUDYHASH
    assert action(profile, 0x00080080) is Action.PROJECT
    assert profile[0x00130010].value == "CTP" and profile[0x00120062].value == "YES"


def test_repeating_groups_and_private_elements_of_the_standards_profile() -> None:
    profile = ps315_profile()
    for tag in (0x50000010, 0x501E3000, 0x60003000, 0x60024000):
        assert action(profile, tag) is REMOVED
    assert profile.get(0x60000010) is None  # overlay rows
    assert profile.unlisted_private is REMOVED


@pytest.mark.parametrize(
    ("options", "tag", "wanted"),
    [
        ("", 0x00080020, Action.EMPTY),
        ("retain-full-dates", 0x00080020, Action.KEEP),
        ("retain-modified-dates", 0x00080020, Action.INCREMENTDATE),
        ("retain-modified-dates", 0x00080030, Action.KEEP),
        ("retain-modified-dates", 0x0400_0310, Action.REMOVE),  # a timestamp in bytes
        ("retain-uids", 0x0020000D, Action.KEEP),
        ("retain-institution-identity", 0x00080080, Action.KEEP),
        ("retain-device-identity", 0x00081010, Action.KEEP),
        ("retain-patient-characteristics", 0x00101010, Action.KEEP),
        ("clean-descriptors", 0x00081030, Action.KEEP),
        ("clean-structured-content", 0x0040A730, Action.PROCESS),
        ("", 0x0040A730, Action.DUMMY),
        ("clean-graphics", 0x00700001, Action.PROCESS),
        ("clean-graphics", 0x60003000, Action.REMOVE),
        ("clean-graphics", 0x60004000, Action.KEEP),
        ("clean-graphics", 0x50003000, Action.REMOVE),
    ],
)
def test_options(options: str, tag: int, wanted: Action) -> None:
    profile = ps315_profile(frozenset(options.split()))
    assert action(profile, tag) is wanted


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_changes_what_its_column_names_only(option: Option) -> None:
    columns = {
        "retain-uids": "uids", "retain-device-identity": "device",
        "retain-institution-identity": "institution", "retain-patient-characteristics": "patient",
        "retain-full-dates": "full_dates", "retain-modified-dates": "modified_dates",
        "clean-descriptors": "descriptors", "clean-structured-content": "structured",
        "clean-graphics": "graphics",
    }  # fmt: skip
    marked = {number(row) for row in SINGLE if row[columns[option]]}
    basic, with_option = ps315_profile(), ps315_profile(frozenset({option}))
    changed = {tag for tag in basic if basic[tag] != with_option[tag]}
    claims = {0x00120064, 0x00280303}
    assert changed and changed - claims <= marked
    kept = {number(row) for row in SINGLE if row[columns[option]] == "K"}
    assert all(action(with_option, tag) is Action.KEEP for tag in kept)


def test_the_claims_are_those_of_the_options() -> None:
    profile = ps315_profile(frozenset({"retain-modified-dates", "retain-uids"}))
    assert profile[0x00120064].value == "113100/113107/113110"
    assert profile[0x00280303].value == "MODIFIED"
    assert ps315_profile()[0x00120064].value == "113100"
    assert ps315_profile()[0x00280303].value == "REMOVED"
    assert ps315_profile(frozenset({"retain-full-dates"}))[0x00280303].value == "UNMODIFIED"


def test_options_that_exclude_each_other_or_do_not_exist() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        ps315_profile(frozenset({"retain-full-dates", "retain-modified-dates"}))
    with pytest.raises(OptionError, match="unknown option 'retain-safe-private'"):
        ps315_profile(frozenset({"retain-safe-private"}))


def test_every_action_of_a_table_row_suits_its_representation() -> None:
    from shared.profile.checks import _VRS

    for options in ([], *([one] for one in OPTIONS)):
        for tag, rule in ps315_profile(frozenset(options)).items():
            if tag >> 16 & 1 or rule.mask != ONE_ELEMENT or rule.tag in OWN:
                continue
            vr = dictionary_VR(Tag(tag)).split(" ")[0]
            assert vr in _VRS.get(rule.action, {vr}), rule
