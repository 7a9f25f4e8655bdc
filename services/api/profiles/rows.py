"""The whole table that is in force for a project, row by row, with where each row comes from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from services.api.profiles.keys import elements_of, key_of, row_key, written
from services.api.profiles.weakening import is_weaker
from shared.profile import Action, Profile, ProfileError, Rule, legacy_profile, load_profile
from shared.profile.checks import OFFERED, problems
from shared.profile.elements import vr_of
from shared.profile.format import Document, Entry, When
from shared.profile.model import ONE_ELEMENT

_OF_A_RULE = re.compile(r"rule ([0-9]+): (.*)", re.DOTALL)


class Origin(StrEnum):
    """Where a row comes from."""

    SOURCE = "source-2019"
    PS315 = "ps3.15"
    PROJECT = "project"
    """A rule of the project for just these elements."""
    WIDER = "wider"
    """A rule of the project for the whole group, or its choice for a kind of content."""


@dataclass(frozen=True)
class Row:
    """What becomes of an element, or of several, and what the base would do."""

    key: str
    element: str
    """As a profile names it."""
    name: str
    action: Action
    origin: Origin
    base: Action
    value: str = ""
    pattern: str = ""
    base_value: str = ""
    creator: str = ""
    when: When | None = None
    note: str = ""
    vr: str = ""
    tag: int = 0
    offered: tuple[Action, ...] = ()
    """What the project may choose; nothing for what is settled."""
    is_weaker: bool = False
    """Whether it lets more of the original through than the base does."""
    wrong: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether the project has a rule of its own for it."""
        return self.origin is Origin.PROJECT


@dataclass(frozen=True)
class Table:
    """The rows in the order of their tags; those with something wrong come first."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    """What is wrong with the profile as a whole."""
    profile: Profile | None = field(default=None, compare=False)

    @property
    def is_sound(self) -> bool:
        """Whether it can be used."""
        return not self.problems and not any(row.wrong for row in self.rows)

    def row(self, key: str) -> Row | None:
        """The row that is known by `key`."""
        return next((row for row in self.rows if row.key == key), None)


@lru_cache(maxsize=16)
def table_of(text: str, *, legacy: bool) -> Table:
    """The table under the profile `text` (of `Document`), which may have something wrong.

    Parameters
    ----------
    legacy
        Whether identifiers are made as in the earlier system.
    """
    document = Document.model_validate_json(text)
    sound, wrong, general = _sound(document)
    profile = load_profile(sound.text())
    base = load_profile(_base_only(sound).text())
    if legacy:
        base = legacy_profile(base)
    number = len(sound.rules)
    own = profile.rules[-number:] if number else ()
    maker = _Maker(legacy_profile(profile) if legacy else profile, base, Origin(sound.base))
    rows = maker.rows(
        dict(zip(map(_identity, own), zip(sound.rules, own, strict=True), strict=True))
    )
    bad = [_wrong_row(entry, wrong[number], base)
           for number, entry in enumerate(document.rules) if number in wrong]  # fmt: skip
    replaced = {row.key for row in bad}
    ordered = sorted((row for row in rows if row.key not in replaced), key=_order)
    return Table((*bad, *ordered), tuple(general), profile)


def _order(row: Row) -> tuple[bool, str, int, str]:
    return bool(row.creator), row.creator, row.tag, row.key


def _base_only(document: Document) -> Document:
    """The base with its options, and nothing of the project's."""
    return document.model_copy(update={"rules": [], "contents": {}, "unlisted_private": None})


def _sound(document: Document) -> tuple[Document, dict[int, tuple[str, ...]], list[str]]:
    """What of a document can be used, and what is wrong with its rules (by place), and besides."""
    wrong: dict[int, tuple[str, ...]] = {}
    general: list[str] = []
    try:
        load_profile(document.text())
    except ProfileError as error:
        for problem in error.problems:
            found = _OF_A_RULE.fullmatch(problem)
            if found is None:
                general.append(problem)
            else:
                at = int(found[1]) - 1
                wrong[at] = (*wrong.get(at, ()), found[2])
    update: dict[str, object] = {
        "rules": [one for number, one in enumerate(document.rules) if number not in wrong]
    }
    if general:
        update |= {"options": [], "contents": {}}
    return document.model_copy(update=update), wrong, general


def _identity(rule: Rule) -> tuple[object, ...]:
    return rule.tag, rule.mask, rule.creator, rule.when


class _Maker:
    """Makes the rows of a profile that can be used."""

    def __init__(self, profile: Profile, base: Profile, origin: Origin) -> None:
        self._profile, self._base, self._origin = profile, base, origin

    def rows(self, own: Mapping[tuple[object, ...], tuple[Entry, Rule]]) -> Iterator[Row]:
        """All rows: the base's, and those that only the project has."""
        there = {_identity(rule): rule for rule in self._base.rules}
        for identity, rule in there.items():
            if identity not in own:
                yield self._base_row(rule)
        for entry, rule in own.values():
            yield self._own_row(entry, rule)

    def _base_row(self, rule: Rule) -> Row:
        found = _in_force(self._profile, rule) or rule
        is_same = (found.action, found.value) == (rule.action, rule.value)
        return _row(
            rule, found, self._origin if is_same else Origin.WIDER, rule,
            weaker=is_weaker(found.action, rule.action),
        )  # fmt: skip

    def _own_row(self, entry: Entry, rule: Rule) -> Row:
        found = _in_force(self._base, rule)
        base = found or Rule(rule.tag, rule.name, self._unlisted(rule))
        covered = [base.action]
        if rule.mask != ONE_ELEMENT:
            covered += [one.action for one in self._base.values() if rule.covers(one.tag)]
        weaker = any(is_weaker(rule.action, one) for one in covered)
        return _row(rule, rule, Origin.PROJECT, base, when=entry.when, note=entry.note,
                    weaker=weaker)  # fmt: skip

    def _unlisted(self, rule: Rule) -> Action:
        is_private = bool(rule.creator or rule.tag >> 16 & 1)
        return self._base.unlisted_private if is_private else Action.KEEP


def _in_force(profile: Profile, rule: Rule) -> Rule | None:
    """The rule of `profile` for the elements of `rule`."""
    if rule.creator:
        return profile.private(rule.creator, rule.tag & 0xFF, rule.tag >> 16)
    return profile.get(rule.tag if rule.mask & 0xFFFF or rule.mask == ONE_ELEMENT
                       else rule.tag | 0xFFF0)  # fmt: skip


def _row(
    about: Rule,
    found: Rule,
    origin: Origin,
    base: Rule,
    *,
    weaker: bool,
    when: When | None = None,
    note: str = "",
) -> Row:
    is_one = about.mask == ONE_ELEMENT and not about.creator
    return Row(
        key=row_key(about.tag, about.mask, about.creator, when),
        element=written(about),
        name=about.name if about.name != written(about) else "",
        action=found.action,
        origin=origin,
        base=base.action,
        value=found.value,
        pattern=found.pattern,
        base_value=base.value,
        creator=about.creator,
        when=when,
        note=note,
        vr=vr_of(about.tag) if is_one else "",
        tag=about.tag,
        offered=_offered(about.tag, about.mask, about.creator),
        is_weaker=weaker,
    )


def _wrong_row(entry: Entry, wrong: tuple[str, ...], base: Profile) -> Row:
    """The row of a rule that can't be used, as it was entered."""
    found = elements_of(entry)
    known = set(Action)
    there, element = None, entry.element
    if found is not None and not entry.creator.strip():
        there = base.get(found.tag)
        element = written(Rule(found.tag, "", Action.KEEP, mask=found.mask))
    return Row(
        key=key_of(entry),
        element=element,
        name=found.name if found and found.name != element else "",
        action=Action(entry.action) if entry.action in known else Action.REMOVE,
        origin=Origin.PROJECT,
        base=there.action if there else Action.KEEP,
        value=entry.replacement or entry.value,
        pattern=entry.pattern,
        base_value=there.value if there else "",
        creator=entry.creator,
        when=entry.when,
        note=entry.note,
        offered=_offered(found.tag, found.mask, entry.creator.strip()) if found else (),
        wrong=wrong,
    )


@lru_cache(maxsize=8192)
def _offered(tag: int, mask: int, creator: str) -> tuple[Action, ...]:
    """The actions that a project may choose for an element."""
    found = []
    for action in OFFERED:
        pattern = "x" if action is Action.REGEX else ""
        rule = Rule(tag, "", action, mask=mask, creator=creator, pattern=pattern)
        against = [one for one in problems(rule) if not one.startswith("''")]
        if not against and action is not Action.HASHUID:
            found.append(action)
    return tuple(found)
