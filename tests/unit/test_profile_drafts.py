"""A profile on its way through people's hands: drafts, the table in force, what is weaker."""

import json
from typing import Any

import pytest

from services.api.profiles.confirming import Kind, digest, new_weaknesses
from services.api.profiles.drafts import Draft, new_entry
from services.api.profiles.finding import Show, is_found
from services.api.profiles.rows import Origin, Row
from shared.profile import Action, ProfileError, load_profile, source_profile
from shared.profile.ps315 import OPTIONS, Option


def text(*rules: dict[str, Any], base: str = "source-2019", **more: Any) -> str:
    return json.dumps({"format": 1, "name": "t", "base": base, "rules": list(rules)} | more)


def draft(profile: str = "", *, legacy: bool = False) -> Draft:
    return Draft(profile, name="AAA", legacy=legacy)


def row(of: Draft, element: str) -> Row:
    (found,) = [one for one in of.table.rows if one.element == element]
    return found


@pytest.mark.parametrize(
    "profile",
    ["", text(base="ps3.15"), text(base="ps3.15", options=["retain-safe-private"]),
     text({"element": "(0038,xxxx)", "action": "keep"},
          {"element": "(60xx,3000)", "action": "hold"},
          {"element": "AdmissionID", "action": "empty"},
          {"element": "xx02", "creator": "GEMS_IDEN_01", "action": "keep"},
          contents={"curves": "remove"})],
)  # fmt: skip
def test_the_table_is_what_the_engine_goes_by(profile: str) -> None:
    """Row by row, the model is asked what it would do, and must say the same."""
    in_force = load_profile(profile) if profile else source_profile()
    table = draft(profile).table
    assert table.is_sound and len({one.key for one in table.rows}) == len(table.rows)
    listed = {one.tag for one in table.rows if not one.creator}
    assert listed >= set(in_force)
    for one in table.rows:
        if one.creator:
            rule = in_force.private(one.creator, one.tag & 0xFF, one.tag >> 16)
        elif "x" in one.element:
            continue  # stands for many
        else:
            rule = in_force.get(one.tag)
        assert rule is not None and rule.action is one.action, one.element


def test_what_is_not_touched_changes_nothing() -> None:
    """The form sends every row that it shows."""
    own = text({"element": "StudyDescription", "action": "literal", "value": "x"},
               {"element": "SeriesDescription", "action": "regex", "pattern": "a(b)",
                "replacement": "\\1", "when": {"modality": ["MR"]}, "note": "why"})  # fmt: skip
    one = draft(own)
    before = one.text
    sent: dict[str, Any] = {}
    for shown in one.table.rows:
        is_regex = shown.action is Action.REGEX
        sent |= {f"action:{shown.key}": shown.action.value, f"pattern:{shown.key}": shown.pattern,
                 f"value:{shown.key}": "" if is_regex else shown.value,
                 f"put:{shown.key}": shown.value if is_regex else ""}  # fmt: skip
    one.apply(sent)
    assert one.text == before
    assert json.loads(before)["rules"] == json.loads(own)["rules"]
    assert draft().text == ""


def test_a_row_is_changed_and_changed_again_and_put_back() -> None:
    one = draft()
    key = row(one, "(0008,1030)").key
    one.apply({f"action:{key}": "remove"})
    assert json.loads(one.text)["rules"] == [{"element": "StudyDescription", "action": "remove"}]
    changed = row(one, "(0008,1030)")
    assert (changed.origin, changed.base, changed.is_own) == (Origin.PROJECT, Action.KEEP, True)
    one.apply({f"action:{key}": "literal", f"value:{key}": "Cardiac"})
    assert row(one, "(0008,1030)").value == "Cardiac"
    one.apply({f"action:{key}": "keep"})  # what the table says needs no rule
    assert one.text == ""


def test_what_a_group_has_been_given_can_be_taken_back_for_one_element() -> None:
    one = draft(text({"element": "(0038,xxxx)", "action": "keep"}))
    wider = row(one, "(0038,0010)")
    assert (wider.origin, wider.action, wider.is_weaker) == (Origin.WIDER, Action.KEEP, True)
    one.apply({f"action:{wider.key}": "remove"})
    again = row(one, "(0038,0010)")
    assert (again.origin, again.action, again.is_weaker) == (Origin.PROJECT, Action.REMOVE, False)
    assert load_profile(one.text)[0x00380010].action is Action.REMOVE


def test_what_is_wrong_stands_at_its_row_and_the_rest_goes_on() -> None:
    one = draft(
        text({"element": "PatientName", "action": "keep"},
             {"element": "NoSuchThing", "action": "keep"},
             {"element": "StudyDescription", "action": "remove"})
    )  # fmt: skip
    wrong = [found for found in one.table.rows if found.wrong]
    assert [found.element for found in wrong] == ["(0010,0010)", "NoSuchThing"]
    assert "settled by Sluse" in wrong[0].wrong[0] and "names no element" in wrong[1].wrong[0]
    assert not one.table.is_sound
    assert row(one, "(0008,1030)").action is Action.REMOVE
    for found in wrong:
        one.put(found.key, None)
    assert one.table.is_sound and len(one.document.rules) == 1


def test_no_profile_is_no_draft() -> None:
    for bad in ("{", "[]", '{"format": 2}', "null"):
        with pytest.raises(ProfileError):
            draft(bad)


def test_a_row_offers_what_the_model_takes_and_no_more() -> None:
    one = draft()
    assert row(one, "(0010,0010)").offered == ()
    assert set(row(one, "(0020,000d)").offered) == {Action.KEEP, Action.HASHUID_PROJECT}
    assert Action.INCREMENTDATE in row(one, "(0010,0030)").offered
    assert Action.HASH not in row(one, "(0010,0030)").offered
    assert Action.PROCESS not in row(one, "(0008,1030)").offered
    for shown in one.table.rows:
        for action in shown.offered:
            entry = {"element": shown.element, "action": action.value}
            entry |= {"value": "1"} if action is Action.LITERAL else {}
            entry |= {"pattern": "x"} if action is Action.REGEX else {}
            if action is not Action.LITERAL:  # which value is legal depends on the element
                load_profile(text(entry))


def test_the_table_of_a_project_from_the_earlier_system() -> None:
    assert row(draft(), "(0008,0050)").action is Action.STUDYHASH
    assert row(draft(legacy=True), "(0008,0050)").action is Action.HASH


@pytest.mark.parametrize(
    ("wanted", "element"),
    [("0010,0030", "(0010,0030)"), ("(0010,0030)", "(0010,0030)"), ("00100030", "(0010,0030)"),
     ("patientbirthdate", "(0010,0030)"), ("birth date", "(0010,0030)"),
     ("Patient's Birth Date", "(0010,0030)"), ("60xx,3000", "(60xx,3000)")],
)  # fmt: skip
def test_rows_are_found_by_name_and_tag(wanted: str, element: str) -> None:
    for base in (text(base="ps3.15"), ""):
        if not base and ("'" in wanted or "xx" in wanted):
            continue  # so the standard writes
        found = [one.element for one in draft(base).table.rows if is_found(one, wanted, Show.ALL)]
        assert element in found and len(found) < 12


def test_rows_are_found_by_what_becomes_of_them() -> None:
    private = {"element": "xx02", "creator": "GEMS_IDEN_01", "action": "empty"}
    one = draft(text({"element": "PatientBirthDate", "action": "keep"}, private))
    found = {
        show: {shown.element for shown in one.table.rows if is_found(shown, "", show)}
        for show in Show
    }
    assert found[Show.CHANGED] == {"(0010,0030)", "xx02"}
    assert found[Show.WEAKER] == {"(0010,0030)"}
    assert "xx02" in found[Show.PRIVATE] and "(0013,1010)" in found[Show.PRIVATE]
    assert "(0010,1040)" in found[Show.REMOVES] and "(0010,1040)" not in found[Show.KEEPS]
    assert {"(0008,0020)", "(0010,0030)"} <= found[Show.DATES]
    assert "(0020,000d)" in found[Show.UIDS] and "(0008,0020)" not in found[Show.UIDS]


def kinds(saved: str, changed: str) -> list[Kind]:
    return [one.kind for one in new_weaknesses(draft(saved), draft(changed))]


def test_only_what_protects_less_must_be_confirmed() -> None:
    keep = text({"element": "PatientBirthDate", "action": "keep"})
    gone = text({"element": "StudyDescription", "action": "remove"})
    assert kinds("", keep) == [Kind.ROW] and kinds("", gone) == []
    assert kinds(keep, keep) == [] and kinds(keep, "") == []
    strict = text(base="ps3.15")
    assert kinds("", strict) == [] and kinds(strict, "") == [Kind.BASE]
    assert kinds(strict, text(base="ps3.15", unlisted_private="keep")) == [Kind.PRIVATE]
    assert kinds("", text(contents={"video": "keep", "curves": "keep"})) == [Kind.CONTENT]
    strict_curves = text(base="ps3.15", contents={"curves": "keep"})
    assert kinds(strict, strict_curves) == [Kind.CONTENT]
    for option in OPTIONS:
        with_one = text(base="ps3.15", options=[option])
        assert kinds(strict, with_one) == [Kind.OPTION]
    assert kinds("", text({"element": "(0038,xxxx)", "action": "keep"})) == [Kind.ROW]
    private = {"element": "xx02", "creator": "X", "action": "keep"}
    assert kinds("", text(private)) == []
    assert kinds(strict, text(private, base="ps3.15")) == [Kind.ROW]


def test_another_action_is_another_thing_to_confirm() -> None:
    first = new_weaknesses(draft(), draft(text({"element": "PatientAddress", "action": "hash"})))
    other = new_weaknesses(draft(), draft(text({"element": "PatientAddress", "action": "keep"})))
    assert digest(first) != digest(other) and digest(first) == digest(list(reversed(first)))


def test_options_go_with_their_base() -> None:
    one = draft(text(base="ps3.15", options=[Option.RETAIN_UIDS]))
    one.apply({"base": "source-2019", "options": ["retain-uids"]})
    assert one.text == "" and one.table.is_sound


def test_an_added_row_is_written_so_that_it_can_be_read() -> None:
    assert new_entry("(0010,2299)", "", "remove", "").element == "ResponsibleOrganization"
    assert new_entry("xx02", "GEMS_IDEN_01", "remove", "").element == "xx02"
    assert new_entry("(0038,xxxx)", "", "remove", "").element == "(0038,xxxx)"


def asked(saved: str, changed: str) -> list[str]:
    """The elements that somebody is asked about."""
    found = new_weaknesses(draft(saved), draft(changed))
    return [one.row.element for one in found if one.row is not None]


STRICT = {"base": "ps3.15"}
BITMAP = {"element": "(60xx,3000)"}
DESCRIPTION = {"element": "StudyDescription"}


@pytest.mark.parametrize(
    ("saved", "changed", "what"),
    [(text(**STRICT), text(**STRICT, contents={"structured-reports": "clean"}), Kind.CONTENT),
     (text(**STRICT), text({"element": "(60xx,xxxx)", "action": "keep"}, **STRICT), Kind.ROW),
     (text(**STRICT), text(BITMAP | {"action": "keep", "when": {"modality": ["US"]}}, **STRICT),
      Kind.ROW),
     (text(**STRICT, options=["retain-safe-private"]),
      text({"element": "xx00", "creator": "Philips PET Private Group", "action": "keep"}, **STRICT,
           options=["retain-safe-private"]), Kind.ROW),
     (text(DESCRIPTION | {"action": "remove"}), "", Kind.ROW),
     (text(contents={"overlays": "remove"}), "", Kind.CONTENT),
     (text(contents={"overlays": "hold"}), "", Kind.CONTENT),
     (text(unlisted_private="remove"), "", Kind.PRIVATE),
     (text(contents={"structured-reports": "remove"}),
      text(contents={"structured-reports": "clean"}), Kind.CONTENT),
     (text(DESCRIPTION | {"action": "regex", "pattern": ".+"}),
      text(DESCRIPTION | {"action": "regex", "pattern": "zzzz"}), Kind.ROW),
     (text(DESCRIPTION | {"action": "remove"}),
      text(DESCRIPTION | {"action": "remove"},
           DESCRIPTION | {"action": "keep", "when": {"modality": ["US"]}}), Kind.ROW),
     (text(BITMAP | {"action": "empty"}, **STRICT, contents={"overlays": "keep"}),
      text(**STRICT, contents={"overlays": "keep"}), Kind.ROW),
     (text({"element": "xx02", "creator": "X", "action": "remove"}), "", Kind.ROW)],
    ids=["reports", "wide", "for some objects", "every group", "own rule gone", "overlays gone",
         "overlays held", "private", "reports again", "pattern", "exception", "wider shows through",
         "own private rule gone"],
)  # fmt: skip
def test_whatever_leaves_more_than_before_is_asked_about(
    saved: str, changed: str, what: Kind
) -> None:
    assert what in kinds(saved, changed)
    assert kinds(changed, saved) == ([Kind.ROW] if "regex" in changed else [])
    assert kinds(changed, changed) == []


def test_what_is_asked_about_is_named() -> None:
    wide = text({"element": "(60xx,xxxx)", "action": "keep"}, **STRICT)
    assert asked(text(**STRICT), wide) == ["(60xx,xxxx)"]
    assert asked(text(DESCRIPTION | {"action": "remove"}), "") == ["(0008,1030)"]
    assert asked(text({"element": "xx02", "creator": "X", "action": "remove"}), "") == ["xx02"]


def test_too_many_kinds_of_objects_are_asked_about_as_a_whole() -> None:
    many = [DESCRIPTION | {"action": "empty", "when": {"modality": [f"M{number}"]}}
            for number in range(60)]  # fmt: skip
    assert kinds("", text(*many)) == [Kind.KINDS]


def test_a_row_set_to_what_the_base_does_does_just_that() -> None:
    """Though a wider rule of the project says something else."""
    kept = {"contents": {"overlays": "keep"}} | STRICT
    one = draft(text(BITMAP | {"action": "empty"}, **kept))
    key = row(one, "(60xx,3000)").key
    one.apply({f"action:{key}": "remove"})
    assert row(one, "(60xx,3000)").action is Action.REMOVE
    wide = draft(text({"element": "(0038,xxxx)", "action": "keep"},
                      {"element": "(0038,0010)", "action": "empty"}))  # fmt: skip
    key = row(wide, "(0038,0010)").key
    base = row(wide, "(0038,0010)").base
    wide.apply({f"action:{key}": base.value})
    assert row(wide, "(0038,0010)").action is base is not Action.KEEP


def test_blanks_and_line_ends_of_rows_that_nobody_touched_stay() -> None:
    own = text(DESCRIPTION | {"action": "regex", "pattern": "Dr ", "replacement": " "},
               {"element": "PatientComments", "action": "literal", "value": "1\n2"})  # fmt: skip
    one = draft(own)
    before = one.text
    description, comments = row(one, "(0008,1030)").key, row(one, "(0010,4000)").key
    one.apply({f"action:{description}": "regex", f"pattern:{description}": "Dr ",
               f"put:{description}": " ", f"action:{comments}": "literal",
               f"value:{comments}": "12"})  # fmt: skip
    assert one.text == before
    one.apply({f"action:{comments}": "literal", f"value:{comments}": "one"})
    assert row(one, "(0010,4000)").value == "one"
