"""What of a changed profile protects less than before, so that somebody confirms just that."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.api.profiles.drafts import Draft
from services.api.profiles.rows import Row
from shared.profile.contents import POLICIES, Content, Policy
from shared.profile.tables import SOURCE

_BY_GROUP = (Content.CURVES, Content.OVERLAYS)


class Kind(StrEnum):
    """What is weaker."""

    ROW = "row"
    CONTENT = "content"
    OPTION = "option"
    PRIVATE = "private"
    """Private elements that no rule names."""
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
    """Those of `changed` that `saved` does not have."""
    known = {one.mark for one in _weaknesses(saved)}
    found = [one for one in _weaknesses(changed) if one.mark not in known]
    if saved.document.base != SOURCE and changed.document.base == SOURCE:
        found.insert(0, Weakness(Kind.BASE))
    return found


def digest(weaknesses: Iterable[Weakness]) -> str:
    """What a person confirms: these, and no others."""
    text = "\n".join(sorted(one.mark for one in weaknesses))
    return hashlib.sha256(text.encode()).hexdigest()


def _weaknesses(draft: Draft) -> Iterator[Weakness]:
    document = draft.document
    yield from (Weakness(Kind.OPTION, one) for one in document.options)
    for name, policy in document.contents.items():
        if policy == Policy.KEEP and name in set(Content):
            content = Content(name)
            strict = content in _BY_GROUP and document.base != SOURCE
            if strict or (content not in _BY_GROUP and POLICIES[content][0] is not Policy.KEEP):
                yield Weakness(Kind.CONTENT, name)
    if document.unlisted_private == "keep" and document.base != SOURCE:
        yield Weakness(Kind.PRIVATE)
    for row in draft.table.rows:
        if row.is_weaker and row.is_own:
            yield Weakness(Kind.ROW, row.key, row)
