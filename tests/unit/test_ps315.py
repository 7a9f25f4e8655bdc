"""PS3.15 Table E.1-1: the Basic Profile and its options."""

import re

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

from shared.profile import Action
from shared.profile.checks import _VRS
from shared.profile.model import ONE_ELEMENT
from shared.profile.ps315 import OPTIONS, Option, OptionError, ps315_profile
from shared.profile.tables import rows
from tests.profiles import action

REMOVED = Action.REMOVE
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
        "retain-safe-private": "safe_private",
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
    safe_private = ps315_profile(frozenset({"retain-safe-private"}))
    assert safe_private[0x00120064].value == "113100/113111"
    assert ps315_profile()[0x00280303].value == "REMOVED"
    assert ps315_profile(frozenset({"retain-full-dates"}))[0x00280303].value == "UNMODIFIED"


def test_options_that_exclude_each_other_or_do_not_exist() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        ps315_profile(frozenset({"retain-full-dates", "retain-modified-dates"}))
    with pytest.raises(OptionError, match="unknown option 'retain-all'; choose among retain-safe"):
        ps315_profile(frozenset({"retain-all"}))


def test_every_action_of_a_table_row_suits_its_representation() -> None:
    for options in ([], *([one] for one in OPTIONS)):
        for tag, rule in ps315_profile(frozenset(options)).items():
            if tag >> 16 & 1 or rule.mask != ONE_ELEMENT or rule.tag in OWN:
                continue
            vr = dictionary_VR(Tag(tag)).split(" ")[0]
            assert vr in _VRS.get(rule.action, {vr}), rule
