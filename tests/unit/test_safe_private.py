"""PS3.15 Table E.3.10-1, the safe private attributes, on whole objects."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from demo.phantoms import Maker
from services.anonymizer.engine import Plan, deidentify
from services.anonymizer.engine.private import private_rule
from shared.identity import keyed_uid
from shared.profile import load_profile
from shared.profile.ps315 import OPTIONS, Option
from shared.profile.tables import rows
from tests.unit.test_engine import PLAN, saved

TABLE = rows("safe-private.csv")
ORIGINAL = "1.2.840.99999.77.1234567890"
VALUES: dict[str, Any] = {
    "AT": 0x00080018, "CS": "CODE", "DS": "1.500000", "FD": 2.5, "FL": 1.5, "IS": "7",
    "LO": "plain", "LT": "plain", "OB": b"\1\2", "OW": b"\3\4", "SH": "plain", "SL": -7,
    "SQ": [Dataset()], "SS": -3, "ST": "plain", "UI": ORIGINAL, "UL": 9, "UN": bytes(range(8)),
    "US": 8,
}  # fmt: skip
"""Eight bytes where pydicom takes an element for a number of eight."""
VERSION = "NQHeader", 0x0099, 0x01
"""A UID that need not be one: what is one in it is overwritten."""
Place = tuple[str, int, int]
"""Creator, group, element."""
each_syntax = pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
each_reader = pytest.mark.parametrize("explain", [False, True])


def plan(*options: str, rules: list[dict[str, str]] | None = None) -> Plan:
    document = {"format": 1, "name": "own", "base": "ps3.15", "options": options}
    profile = load_profile(json.dumps(document | {"rules": rules or []}))
    shift = 0 if Option.RETAIN_FULL_DATES in options else PLAN.date_shift_days
    return replace(PLAN, profile=profile, date_shift_days=shift)


SAFE = plan(Option.RETAIN_SAFE_PRIVATE)


def image(syntax: str = ExplicitVRLittleEndian) -> Dataset:
    found = Maker(4, size=16).ct(1).instances[0]
    found.remove_private_tags()
    found.file_meta.TransferSyntaxUID = UID(syntax)
    found.PatientName = "Hemmelig^Kari"
    return found


def add(data_set: Dataset, creator: str, group: int, element: int, vr: str, value: Any) -> None:
    data_set.private_block(group, creator, create=True).add_new(element, vr, value)


def place(row: dict[str, str]) -> Place:
    return row["creator"], int(row["group"], 16), int(row["element"], 16)


UIDS = {place(row) for row in TABLE if row["vr"] == "UI"}


def add_table(data_set: Dataset) -> None:
    for row in TABLE:
        vr = row["vr"] if row["vr"] in VALUES else "UN"
        add(data_set, *place(row), vr, VALUES[vr])


def private_tags(data_set: Dataset) -> list[BaseTag]:
    """Of one level, creators included; not those of Sluse."""
    found = list(data_set.keys())
    return [tag for tag in found if tag.is_private and tag.group != 0x0013]


def private(data_set: Dataset) -> Iterator[tuple[Place, bytes]]:
    """The private elements of one level, with the bytes of their values."""
    for tag in private_tags(data_set):
        if not tag.is_private_creator:
            creator = data_set[tag.group, tag.element >> 8].value
            raw = data_set.get_item(tag).value
            yield (creator, tag.group, tag.element & 0xFF), raw


def copied(data_set: Dataset, folder: Path, plan: Plan, *, explain: bool) -> Dataset:
    target = BytesIO()
    deidentify(saved(data_set, folder), target, plan, explain=explain)
    target.seek(0)
    return pydicom.dcmread(target)


def both_levels(data_set: Dataset) -> tuple[Dataset, Dataset]:
    return data_set, data_set.ReferencedImageSequence[0]


def test_the_table_is_whole() -> None:
    assert len({place(row) for row in TABLE}) == len(TABLE) == 479
    for row in TABLE:
        creator, group, element = place(row)
        assert creator == creator.strip() and len(creator) <= 64
        assert group % 2 == 1 and group > 0x0008 and element <= 0xFF
        assert all(vr in VALUES for vr in row["vr"].split("/") if vr)


def test_elements_of_the_table_with_a_rule_of_their_own_are_the_uids() -> None:
    ruled = []
    for row in TABLE:
        creator, group, element = place(row)
        if private_rule(creator, group << 16 | element):
            ruled.append(row)
    assert ruled == [row for row in TABLE if row["vr"] == "UI"]


@each_syntax
@each_reader
def test_each_row_is_kept_with_the_option_at_every_depth(
    tmp_path: Path, syntax: str, explain: bool
) -> None:
    original = image(syntax)
    original.ReferencedImageSequence = [Dataset()]
    for level in both_levels(original):
        add_table(level)
    copy = copied(original, tmp_path, SAFE, explain=explain)
    before = pydicom.dcmread(saved(original, tmp_path))
    for old, new in zip(both_levels(before), both_levels(copy), strict=True):
        wanted, found = dict(private(old)), dict(private(new))
        assert len(wanted) == len(TABLE)
        assert found.keys() == wanted.keys()
        assert {one for one in wanted if found[one] != wanted[one]} == UIDS
        for one in UIDS - {VERSION}:
            assert found[one].rstrip(b"\0").decode() == keyed_uid(PLAN.key, ORIGINAL)


@each_reader
@pytest.mark.parametrize("options", [(), ("clean-descriptors", "retain-uids")])
def test_no_row_is_kept_without_the_option(
    tmp_path: Path, options: tuple[str, ...], explain: bool
) -> None:
    original = image()
    original.ReferencedImageSequence = [Dataset()]
    for level in both_levels(original):
        add_table(level)
    copy = copied(original, tmp_path, plan(*options), explain=explain)
    for level in both_levels(copy):
        assert not private_tags(level)


@each_syntax
@each_reader
def test_other_private_elements_go_and_so_do_creators_of_nothing(
    tmp_path: Path, syntax: str, explain: bool
) -> None:
    original = image(syntax)
    original.ReferencedImageSequence = [Dataset()]
    for level in both_levels(original):
        add(level, "HOSPITAL OF X", 0x0019, 0x23, "DS", "1.5")  # of GEMS_ACQU_01 it would be safe
        add(level, "GEMS_ACQU_01", 0x0019, 0x23, "DS", "2.5")
        add(level, "GEMS_ACQU_01", 0x0019, 0x22, "DS", "3.5")  # not listed
        add(level, "GEMS_ACQU_01", 0x0021, 0x23, "DS", "4.5")  # in another group
        add(level, "gems_acqu_01", 0x0023, 0x23, "DS", "5.5")
    copy = copied(original, tmp_path, SAFE, explain=explain)
    for level in both_levels(copy):
        assert private_tags(level) == [0x00190011, 0x00191123]
        assert level[0x00190011].value == "GEMS_ACQU_01"
        assert float(level[0x00191123].value) == 2.5


@each_syntax
@each_reader
def test_a_safe_text_that_names_the_patient_is_swept(
    tmp_path: Path, syntax: str, explain: bool
) -> None:
    original = image(syntax)
    add(original, "Philips Imaging DD 001", 0x2001, 0x50, "LO", "arrow of Hemmelig")
    add(original, "Philips Imaging DD 001", 0x2001, 0x5A, "ST", "for Kari Hemmelig, plain")
    add(original, "NQHeader", 0x0099, 0x05, "LT", f"series {original.SeriesInstanceUID}")
    add(original, "Philips ST80i", 0x0025, 0x01, "OW", b"a study of Hemmelig!")
    copy = copied(original, tmp_path, SAFE, explain=explain)
    found = dict(private(copy))
    assert len(found) == 4
    everything = b" ".join(found.values())
    assert b"arrow of " in everything and b"plain" in everything and b"a study of " in everything
    assert b"hemmelig" not in everything.lower()
    assert str(original.SeriesInstanceUID).encode() not in everything


@each_syntax
@each_reader
def test_a_safe_uid_stays_where_all_uids_do(tmp_path: Path, syntax: str, explain: bool) -> None:
    original = image(syntax)
    add(original, "NQHeader", 0x0099, 0x02, "UI", original.SeriesInstanceUID)
    both = plan(Option.RETAIN_SAFE_PRIVATE, Option.RETAIN_UIDS)
    for one in (SAFE, both):
        copy = copied(original, tmp_path, one, explain=explain)
        ((_, raw),) = private(copy)
        assert raw.rstrip(b"\0").decode() == copy.SeriesInstanceUID
    assert copy.SeriesInstanceUID == original.SeriesInstanceUID


@each_reader
def test_a_project_takes_a_safe_element_away(tmp_path: Path, explain: bool) -> None:
    original = image()
    add(original, "Philips Imaging DD 001", 0x2001, 0x10, "CS", "NO")
    add(original, "Philips Imaging DD 001", 0x2001, 0x11, "FL", 2.5)
    # Its creator stands in (2001,0010), which the rule does not mean.
    rule = {"creator": "Philips Imaging DD 001", "element": "(2001,xx10)", "action": "remove"}
    own = plan(Option.RETAIN_SAFE_PRIVATE, rules=[rule])
    copy = copied(original, tmp_path, own, explain=explain)
    assert private_tags(copy) == [0x20010010, 0x20011011]


@each_syntax
@each_reader
def test_what_is_known_of_a_vendor_s_element_holds_where_a_project_keeps_it(
    tmp_path: Path, syntax: str, explain: bool
) -> None:
    original = image(syntax)
    add(original, "ELSCINT1", 0x00E1, 0x65, "DA", "20191231")  # a date, by private.csv
    add(original, "AGFA", 0x0019, 0x10, "SH", "plain")  # an identification code
    kept = [("ELSCINT1", "(00E1,xx65)"), ("AGFA", "(0019,xx10)")]
    own = plan(
        Option.RETAIN_MODIFIED_DATES,
        rules=[{"creator": one, "element": place, "action": "keep"} for one, place in kept],
    )
    copy = copied(original, tmp_path, own, explain=explain)
    assert dict(private(copy)) == {("ELSCINT1", 0x00E1, 0x65): b"20200103"}


@each_reader
@pytest.mark.parametrize("option", OPTIONS)
def test_a_copy_claims_the_option_that_is_on(tmp_path: Path, option: Option, explain: bool) -> None:
    codes = {
        one.CodeValue: one.CodeMeaning
        for one in copied(
            image(), tmp_path, plan(option), explain=explain
        ).DeidentificationMethodCodeSequence
    }
    assert ("113111" in codes) == (option is Option.RETAIN_SAFE_PRIVATE)
    assert codes.get("113111", "Retain Safe Private Option") == "Retain Safe Private Option"
    assert len(codes) == 2
