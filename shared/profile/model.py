"""A profile: rules by element, as the engine asks for them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar, overload

from shared.profile.actions import Action
from shared.profile.contents import POLICIES, Content, Policy

T = TypeVar("T")

ONE_ELEMENT = 0xFFFFFFFF
REPEATING_GROUP = 0xFF010000
"""The bits in which the tags of a repeating group agree (PS3.5 section 7.6)."""
NO_POLICIES: Mapping[Content, Policy] = MappingProxyType({})


@dataclass(frozen=True)
class Condition:
    """Which objects a rule is for. What is empty does not matter."""

    modalities: frozenset[str] = frozenset()
    sop_classes: frozenset[str] = frozenset()

    def holds(self, modality: str, sop_class_uid: str) -> bool:
        """Whether an object is one of them."""
        return (not self.modalities or modality in self.modalities) and (
            not self.sop_classes or sop_class_uid in self.sop_classes
        )


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    tag: int
    """Group and element, `0x00100010`. With a `creator`: the group, or 0 for any, and the low byte
    of the element."""
    name: str
    action: Action
    value: str = ""
    """For `LITERAL`, `CODES` and `REGEX`."""
    note: str = ""
    pattern: str = ""
    """For `REGEX`."""
    mask: int = ONE_ELEMENT
    """The bits of a tag that must be those of `tag`: for repeating and whole groups."""
    creator: str = ""
    """The private creator whose element this is."""
    when: Condition | None = None
    """None for every object."""

    def covers(self, tag: int) -> bool:
        """Whether the rule is about `tag` (of a rule without a creator)."""
        return tag & self.mask == self.tag


class Profile(Mapping[int, Rule]):
    """Rules by tag; what is not in it is kept, after the identity sweep.

    Of several rules for an element the last one counts; one for certain objects goes before one for
    all. As a mapping it holds the single elements, `get` and `[]` find repeating groups too.
    Equal by what it says; travels to other processes by what made it, where that is known.

    Parameters
    ----------
    version
        Of the table or of the standard it was made from.
    unlisted_private
        What is done with private elements that no rule names: `KEEP`, after the identity sweep, or
        `REMOVE`.
    policies
        Those that are not the usual ones (`shared.profile.contents`).
    origin
        A function and its arguments that make this profile again.
    """

    def __init__(
        self,
        name: str,
        version: str,
        rules: Iterable[Rule],
        *,
        unlisted_private: Action = Action.KEEP,
        policies: Mapping[Content, Policy] = NO_POLICIES,
        origin: tuple[Callable[..., "Profile"], tuple[Any, ...]] | None = None,
    ) -> None:
        self.name, self.version, self.unlisted_private = name, version, unlisted_private
        self.rules = tuple(rules)
        self.policies = dict(policies)
        self._origin = origin
        self._by_tag: dict[int, Rule] = {}
        self._repeating: dict[int, tuple[Rule, ...]] = {}
        self._private: dict[tuple[str, int], dict[int, Rule]] = {}
        for rule in self.rules:
            if rule.when is None:
                self._enter(rule)
        self._conditional = tuple(rule for rule in self.rules if rule.when is not None)
        self._for_objects: dict[tuple[int, ...], Profile] = {}
        differing = tuple(sorted(policies.items()))
        self._content = (name, version, self.rules, unlisted_private, differing)
        self._hash = hash(self._content)

    def _enter(self, rule: Rule) -> None:
        if rule.creator:
            known = self._private.setdefault((rule.creator, rule.tag & 0xFF), {})
            if not rule.tag >> 16:
                known.clear()  # it is about every group
            known[rule.tag >> 16] = rule
        elif rule.mask == ONE_ELEMENT:
            self._by_tag[rule.tag] = rule
        else:
            for tag in [tag for tag in self._by_tag if rule.covers(tag)]:
                del self._by_tag[tag]
            first_byte = rule.tag >> 24
            self._repeating[first_byte] = (rule, *self._repeating.get(first_byte, ()))

    def __getitem__(self, tag: int) -> Rule:
        found = self._by_tag.get(tag)
        if found is None:
            for rule in self._repeating.get(tag >> 24, ()):
                if rule.covers(tag):
                    return rule
            raise KeyError(tag)
        return found

    @overload
    def get(self, tag: int, /) -> Rule | None: ...
    @overload
    def get(self, tag: int, /, default: Rule | T) -> Rule | T: ...
    def get(self, tag: int, /, default: Any = None) -> Any:
        """The rule for `tag`, repeating groups (50xx, 60xx) included."""
        found = self._by_tag.get(tag)
        if found is None:
            for rule in self._repeating.get(tag >> 24, ()):
                if rule.covers(tag):
                    return rule
            return default
        return found

    def private(self, creator: str, element: int, group: int = 0) -> Rule | None:
        """The rule for a private element.

        Parameters
        ----------
        creator
            As the object has it, without padding (PS3.5 section 7.8.1).
        element
            The low byte of the element number.
        group
            Creators use one name in several groups; without it a rule for any of them is found.
        """
        known = self._private.get((creator, element))
        if not known:
            return None
        if not group:
            return known.get(0) or next(reversed(known.values()))
        return known.get(group) or known.get(0)

    def keeps_private(self, creator: str, group: int) -> bool:
        """Whether a rule leaves any of a creator's elements in `group`, whatever their value."""
        return any(
            number in (0, group) and rule.action is not Action.REMOVE
            for (name, _), rules in self._private.items()
            if name == creator
            for number, rule in rules.items()
        )

    def policy(self, content: Content) -> Policy:
        """What is done with a content."""
        return self.policies.get(content, POLICIES[content][0])

    def for_object(self, modality: str, sop_class_uid: str) -> "Profile":
        """The profile with the conditions decided for an object."""
        if not self._conditional:
            return self
        held = tuple(
            number
            for number, rule in enumerate(self._conditional)
            if rule.when is not None and rule.when.holds(modality, sop_class_uid)
        )
        # By what holds, not by what the object says: so there can't be more than a few of them.
        if held not in self._for_objects:
            always = [rule for rule in self.rules if rule.when is None]
            self._for_objects[held] = Profile(
                self.name,
                self.version,
                [*always, *(replace(self._conditional[number], when=None) for number in held)],
                unlisted_private=self.unlisted_private,
                policies=self.policies,
            )
        return self._for_objects[held]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_tag)

    def __len__(self) -> int:
        return len(self._by_tag)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Profile)
            and self._hash == other._hash
            and self._content == other._content
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Callable[..., "Profile"], tuple[Any, ...]]:
        return self._origin or (
            _remade,
            (self.name, self.version, self.rules, self.unlisted_private, self.policies),
        )

    def __repr__(self) -> str:
        return f"<Profile {self.name} {self.version}, {len(self.rules)} rules>"


def _remade(
    name: str,
    version: str,
    rules: tuple[Rule, ...],
    unlisted_private: Action,
    policies: Mapping[Content, Policy],
) -> Profile:
    return Profile(name, version, rules, unlisted_private=unlisted_private, policies=policies)
