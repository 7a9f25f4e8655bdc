"""Where one profile leaves more of an original than another does, asked element by element.

Both are asked as the engine asks them: by tag, after the conditions for kinds of objects are
decided. Asked are all elements that a rule of either names; of a rule for many elements one that no
other rule is about, too.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from services.api.profiles.weakening import is_weaker
from shared.profile import Action, Profile, Rule
from shared.profile.model import ONE_ELEMENT

_NOBODYS_GROUP = 0x0099
"""A private group that no rule names."""
_MOST_KINDS = 50


class TooManyKindsError(Exception):
    """The profiles tell so many kinds of objects apart that they can't be compared here."""


class Weaker(NamedTuple):
    """An element of which more is left."""

    about: Rule
    """The rule, of either, by which it was asked for."""
    was: Rule
    now: Rule


def weaker_rules(before: Profile, after: Profile) -> Iterator[Weaker]:
    """Where `after` leaves more than `before`.

    Raises
    ------
    TooManyKindsError
        They can't be compared.
    """
    for one, other in _for_kinds(before, after):
        for about, asked in _asked(one, other):
            was, now = _in_force(one, asked), _in_force(other, asked)
            if _leaves_more(now, was):
                yield Weaker(about, was, now)


def _leaves_more(now: Rule, was: Rule) -> bool:
    if now.action is was.action is Action.REGEX:
        # Nobody can tell by itself which of two patterns takes more out.
        return (now.pattern, now.value) != (was.pattern, was.value)
    return is_weaker(now.action, was.action)


def _for_kinds(before: Profile, after: Profile) -> Iterator[tuple[Profile, Profile]]:
    """Both with their conditions decided, for each kind of object that either tells apart."""
    conditions = [rule.when for rule in (*before.rules, *after.rules) if rule.when is not None]
    modalities = sorted({"", *(one for when in conditions for one in when.modalities)})
    classes = sorted({"", *(one for when in conditions for one in when.sop_classes)})
    if len(modalities) * len(classes) > _MOST_KINDS**2:
        raise TooManyKindsError
    seen: set[tuple[int, int]] = set()
    for modality, sop_class in product(modalities, classes):
        pair = before.for_object(modality, sop_class), after.for_object(modality, sop_class)
        if (id(pair[0]), id(pair[1])) not in seen:
            seen.add((id(pair[0]), id(pair[1])))
            if len(seen) > _MOST_KINDS:
                raise TooManyKindsError
            yield pair


def _asked(before: Profile, after: Profile) -> Iterator[tuple[Rule, Rule]]:
    """The elements to ask for: the rule that is about it, and one that names just it."""
    groups: dict[str, set[int]] = {}
    for rule in (*before.rules, *after.rules):
        if rule.creator:
            groups.setdefault(rule.creator, {_NOBODYS_GROUP}).add(rule.tag >> 16)
    for rule in (*before.rules, *after.rules):
        if rule.creator:
            for group in sorted(groups[rule.creator] - {0}):
                tag = group << 16 | rule.tag & 0xFF
                yield rule, Rule(tag, rule.name, rule.action, creator=rule.creator)
            continue
        yield rule, Rule(rule.tag, rule.name, rule.action)
        if rule.mask != ONE_ELEMENT:
            yield rule, Rule(rule.tag | ~rule.mask & 0x000200FE, rule.name, rule.action)


def _in_force(profile: Profile, asked: Rule) -> Rule:
    """What is done with an element."""
    is_private = bool(asked.creator or asked.tag >> 16 & 1)
    if asked.creator:
        found = profile.private(asked.creator, asked.tag & 0xFF, asked.tag >> 16)
    else:
        found = profile.get(asked.tag)
    unlisted = profile.unlisted_private if is_private else Action.KEEP
    return found or Rule(asked.tag, asked.name, unlisted, creator=asked.creator)
