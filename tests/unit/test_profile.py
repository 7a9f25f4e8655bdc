"""The model of a profile: which rule counts for an element of an object."""

import pickle

import pytest
from pydicom.dataelem import DataElement
from pydicom.valuerep import VR, validate_value

from shared.profile import DUMMIES, Action, Condition, Profile, Rule, legacy_profile, source_profile
from shared.profile.ps315 import ps315_profile
from tests.profiles import CT, MR, action, own

REMOVED = Action.REMOVE


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
