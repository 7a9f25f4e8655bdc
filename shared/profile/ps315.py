"""The Basic Application Confidentiality Profile of PS3.15 and its options (Table E.1-1).

`ps315.csv` is the standard's table. The standard leaves choices; made here are those that keep
objects legal without knowing an attribute's type in each IOD:

* `X/Z` empties: legal where an attribute may be missing, and where it must be there but may be
  empty (type 2). `X/D`, `Z/D`, `X/Z/D` get a placeholder, legal wherever; a sequence is emptied.
* `X/Z/U*` descends into the sequence, where UIDs are mapped.
* `C` keeps the value after the identity sweep; under "modified dates" it moves a date, keeps a time
  and otherwise does what the Basic Profile does; under "clean graphics" it descends into
  annotations, whose texts are swept, but bitmaps go, because nobody reads them.
* Of several options the one that keeps a value goes before the one that cleans it.
* Identifiers that Sluse sets are its own placeholders, which is what `Z` and `D` allow.

Private elements are removed. "Retain safe private" keeps those of `safe-private.csv`, the
standard's list of safe private attributes (Table E.3.10-1), after the identity sweep; a project may
name others that it knows to be safe.
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

from shared.profile.actions import Action
from shared.profile.model import ONE_ELEMENT, REPEATING_GROUP, Profile, Rule
from shared.profile.tables import rows, source_profile

EDITION = "2024b"
_PRIVATE = "(gggg,eeee)"
_FIRST_GROUP = 0x0008
"""Below are commands and the file meta information, which is written anew."""


class Option(StrEnum):
    """An option of PS3.15 E.3, each a column of the table."""

    RETAIN_SAFE_PRIVATE = "retain-safe-private"
    RETAIN_UIDS = "retain-uids"
    RETAIN_DEVICE = "retain-device-identity"
    RETAIN_INSTITUTION = "retain-institution-identity"
    RETAIN_PATIENT = "retain-patient-characteristics"
    RETAIN_FULL_DATES = "retain-full-dates"
    RETAIN_MODIFIED_DATES = "retain-modified-dates"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    CLEAN_STRUCTURED = "clean-structured-content"
    CLEAN_GRAPHICS = "clean-graphics"


OPTIONS = tuple(Option)
# The column, and the code of PS3.16 CID 7050.
_COLUMNS = {
    Option.RETAIN_SAFE_PRIVATE: ("safe_private", "113111"),
    Option.RETAIN_UIDS: ("uids", "113110"),
    Option.RETAIN_DEVICE: ("device", "113109"),
    Option.RETAIN_INSTITUTION: ("institution", "113112"),
    Option.RETAIN_PATIENT: ("patient", "113108"),
    Option.RETAIN_FULL_DATES: ("full_dates", "113106"),
    Option.RETAIN_MODIFIED_DATES: ("modified_dates", "113107"),
    Option.CLEAN_DESCRIPTORS: ("descriptors", "113105"),
    Option.CLEAN_STRUCTURED: ("structured", "113104"),
    Option.CLEAN_GRAPHICS: ("graphics", "113103"),
}
_BASIC_PROFILE = "113100"
_BASIC = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.HASHUID_PROJECT,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.PROCESS,
}
_OVERLAY_DATA = "(60xx,3000)"
_CURVES = "(50xx,xxxx)"

# What Sluse sets, unless an option keeps the original.
_OWN = (0x00080050, 0x00080080, 0x00081010, 0x00100010, 0x00100020, 0x00120062, 0x00120063,
        0x00130010, 0x00131010, 0x00131011, 0x00131012, 0x00131013, 0x00200010)  # fmt: skip
_METHOD_CODES, _DATES_MODIFIED = 0x00120064, 0x00280303


class OptionError(ValueError):
    """An option is unknown, or does not go with another."""


@lru_cache(maxsize=64)
def ps315_profile(options: frozenset[str] = frozenset()) -> Profile:
    """The Basic Profile with `options` (values of `Option`).

    Raises
    ------
    OptionError
        Says which option, and what there is.
    """
    chosen = _chosen(options)
    return Profile(
        "ps3.15",
        EDITION,
        [*_table(chosen), *_own(chosen), *_safe_private(chosen)],
        unlisted_private=Action.REMOVE,
        origin=(ps315_profile, (options,)),
    )


def _chosen(options: frozenset[str]) -> list[Option]:
    unknown = sorted(options - set(OPTIONS))
    if unknown:
        option, known = unknown[0], ", ".join(OPTIONS)
        raise OptionError(f"unknown option '{option}'; choose among {known}")
    one, other = Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES
    if options >= {one, other}:
        raise OptionError(f"'{one}' and '{other}' exclude each other")
    return [option for option in OPTIONS if option in options]


def _table(chosen: list[Option]) -> Iterator[Rule]:
    for row in rows("ps315.csv"):
        if row["tag"] == _PRIVATE:
            continue  # Profile.unlisted_private, and _safe_private
        group, element = row["tag"].strip("()").split(",")
        tag = int((group + element).replace("x", "0"), 16)
        if tag >> 16 < _FIRST_GROUP:
            continue
        mask = ONE_ELEMENT
        if "x" in group:
            mask = REPEATING_GROUP | (0 if "x" in element else 0xFFFF)
        yield Rule(tag, row["name"], _action(row, chosen), mask=mask)


def _action(row: dict[str, str], chosen: list[Option]) -> Action:
    marks = {option: row[_COLUMNS[option][0]] for option in chosen}
    basic = _basic(row)
    if "K" in marks.values():
        return Action.KEEP
    cleaned = [_clean(option, row, basic) for option in chosen if marks[option] == "C"]
    return cleaned[0] if cleaned else basic


def _basic(row: dict[str, str]) -> Action:
    action = _BASIC[row["basic"]]
    if action is Action.DUMMY and row["vr"] == "UI":
        return Action.HASHUID_PROJECT
    if action is Action.DUMMY and row["vr"] == "SQ" and row["basic"] != "D":
        return Action.EMPTY
    return action


def _clean(option: Option, row: dict[str, str], basic: Action) -> Action:
    vr = row["vr"]
    if vr in ("OB", "UN") or row["tag"] in (_OVERLAY_DATA, _CURVES):
        return basic  # nothing can be told from its bytes
    if vr == "SQ":
        return Action.PROCESS
    if option is Option.RETAIN_MODIFIED_DATES and vr in ("DA", "DT"):
        return Action.INCREMENTDATE
    return Action.KEEP


def _own(chosen: list[Option]) -> Iterator[Rule]:
    kept = {rule.tag for rule in _table(chosen) if rule.action is Action.KEEP}
    source = source_profile()
    yield from (source[tag] for tag in _OWN if tag not in kept)
    codes = "/".join(sorted([_BASIC_PROFILE, *(_COLUMNS[option][1] for option in chosen)]))
    yield Rule(_METHOD_CODES, source[_METHOD_CODES].name, Action.CODES, codes)
    dates = "REMOVED"
    if Option.RETAIN_FULL_DATES in chosen:
        dates = "UNMODIFIED"
    elif Option.RETAIN_MODIFIED_DATES in chosen:
        dates = "MODIFIED"
    yield Rule(_DATES_MODIFIED, source[_DATES_MODIFIED].name, Action.LITERAL, dates)


def _safe_private(chosen: list[Option]) -> Iterator[Rule]:
    if Option.RETAIN_SAFE_PRIVATE in chosen:
        for row in rows("safe-private.csv"):
            tag = int(row["group"], 16) << 16 | int(row["element"], 16)
            yield Rule(tag, row["meaning"], Action.KEEP, creator=row["creator"])
