"""What of a changed profile protects less than before, so that somebody confirms just that."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from services.api.profiles.comparing import TooManyKindsError, Weaker, weaker_rules
from services.api.profiles.drafts import Draft
from services.api.profiles.keys import row_key, written
from services.api.profiles.rows import Origin, Row
from shared.profile import Action, Profile, ProfileError, Rule, load_profile
from shared.profile.contents import POLICIES, Content, Policy
from shared.profile.format import Document
from shared.profile.tables import SOURCE

_CONTENT_SEQUENCE = 0x0040A730
_BY_ROWS = (Content.CURVES, Content.OVERLAYS, Content.STRUCTURED_REPORTS)
"""Contents that the strict base takes away by its rows."""
_LEAVES = {Policy.KEEP: 2, Policy.CLEAN: 1, Policy.REMOVE: 0, Policy.HOLD: 0}
"""How much of a content a policy leaves."""


class Kind(StrEnum):
    """What is weaker."""

    ROW = "row"
    CONTENT = "content"
    OPTION = "option"
    PRIVATE = "private"
    """Private elements that no rule names."""
    KINDS = "kinds"
    """Rules for so many kinds of objects that nobody can compare them."""
    BASE = "base"
    """The strict base was left for the usual table."""


@dataclass(frozen=True)
class Weakness:
    """Something that lets more of the original through."""

    kind: Kind
    what: str = ""
    row: Row | None = None

    @property
    def mark(self) -> str:
        """What it is told from others by, whatever else is on the row."""
        row = self.row
        said = f"{row.action}/{row.pattern}/{row.value}" if row else ""
        return f"{self.kind}:{self.what}:{said}"


def new_weaknesses(saved: Draft, changed: Draft) -> list[Weakness]:
    """What of `changed` lets more through than `saved` does; both can be used."""
    found = list(_of_the_base(saved.document, changed.document))
    contents = list(_of_contents(saved.document, changed.document))
    found += contents
    before, after = _on_the_same_base(saved, changed), load_profile(changed.document.text())
    if after.unlisted_private is Action.KEEP and before.unlisted_private is not Action.KEEP:
        found.append(Weakness(Kind.PRIVATE))
    said = {one.what for one in contents}
    rows: dict[tuple[str, str], Row] = {}
    try:
        for weaker in weaker_rules(before, after):
            if not _is_of(weaker.about, said):
                row = _row_of(weaker, saved, changed)
                rows.setdefault((row.key, row.action), row)
    except TooManyKindsError:
        return [*found, Weakness(Kind.KINDS)]
    return found + [Weakness(Kind.ROW, row.key, row) for row in rows.values()]


def digest(weaknesses: Iterable[Weakness]) -> str:
    """What a person confirms: these, and no others."""
    text = "\n".join(sorted(one.mark for one in weaknesses))
    return hashlib.sha256(text.encode()).hexdigest()


def _of_the_base(saved: Document, changed: Document) -> Iterator[Weakness]:
    if saved.base != SOURCE and changed.base == SOURCE:
        yield Weakness(Kind.BASE)
    yield from (Weakness(Kind.OPTION, one) for one in changed.options if one not in saved.options)


def _of_contents(saved: Document, changed: Document) -> Iterator[Weakness]:
    """Contents of which more is left by the project's own choice."""
    for content in Content:
        before, after = (_LEAVES[_policy(one, content)] for one in (saved, changed))
        is_chosen = saved.contents.get(content) != changed.contents.get(content)
        if is_chosen and after > before:
            yield Weakness(Kind.CONTENT, content)


def _policy(document: Document, content: Content) -> Policy:
    """What is done with a content; where nothing is chosen, what the base does."""
    chosen = document.contents.get(content)
    if chosen is not None:
        return Policy(chosen)
    is_strict = document.base != SOURCE and content in _BY_ROWS
    return Policy.REMOVE if is_strict else POLICIES[content][0]


def _on_the_same_base(saved: Draft, changed: Draft) -> Profile:
    """What was saved, on the base of `changed`: what that brings is said for itself."""
    base = {"base": changed.document.base, "options": changed.document.options}
    try:
        return load_profile(saved.document.model_copy(update=base).text())
    except ProfileError:
        nothing: dict[str, object] = {"rules": [], "contents": {}, "unlisted_private": None}
        return load_profile(changed.document.model_copy(update=nothing).text())


def _is_of(rule: Rule, contents: set[str]) -> bool:
    """Whether an element belongs to a content that is named already."""
    group = rule.tag >> 24
    return (
        (group == 0x50 and Content.CURVES in contents)
        or (group == 0x60 and Content.OVERLAYS in contents)
        or (rule.tag == _CONTENT_SEQUENCE and Content.STRUCTURED_REPORTS in contents)
    )


def _row_of(weaker: Weaker, saved: Draft, changed: Draft) -> Row:
    """The row of what leaves more: the project's own rule that does it, or the element's."""
    about, now = weaker.about, weaker.now
    found = (
        _known(changed, now, is_own=True)
        or _known(changed, about)
        or _known(saved, about)
        or Row(row_key(about.tag, about.mask, about.creator), written(about), "", now.action,
               Origin.WIDER, weaker.was.action, creator=about.creator)
    )  # fmt: skip
    return replace(
        found, action=now.action, value=now.value, pattern=now.pattern, base=weaker.was.action
    )


def _known(draft: Draft, rule: Rule, *, is_own: bool = False) -> Row | None:
    key = row_key(rule.tag, rule.mask, rule.creator)
    for row in draft.table.rows:
        # One for certain objects has these behind its key.
        if (row.is_own or not is_own) and (row.key == key or row.key.startswith(f"{key}/")):
            return row
    return None
