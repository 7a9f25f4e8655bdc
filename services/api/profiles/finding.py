"""Finds rows of the table: by keyword, name or tag, and by what becomes of them."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from services.api.profiles.rows import Origin, Row
from shared.profile import Action
from shared.profile.elements import dictionary_name

_DATES = frozenset({"DA", "DT", "TM"})
_GONE = frozenset({Action.REMOVE, Action.EMPTY})
_UIDS = frozenset({Action.HASHUID, Action.HASHUID_PROJECT})
_NOT_IN_TAGS = re.compile(r"[^0-9a-fx]")


class Show(StrEnum):
    """Which rows are shown."""

    ALL = ""
    CHANGED = "changed"
    WEAKER = "weaker"
    REMOVES = "removes"
    KEEPS = "keeps"
    DATES = "dates"
    UIDS = "uids"
    PRIVATE = "private"


_SHOWN: Mapping[Show, Callable[[Row], bool]] = {
    Show.ALL: lambda row: True,
    Show.CHANGED: lambda row: row.origin in (Origin.PROJECT, Origin.WIDER),
    Show.WEAKER: lambda row: row.is_weaker,
    Show.REMOVES: lambda row: row.action in _GONE,
    Show.KEEPS: lambda row: row.action is Action.KEEP,
    Show.DATES: lambda row: row.vr in _DATES or row.action is Action.INCREMENTDATE,
    Show.UIDS: lambda row: row.vr == "UI" or row.action in _UIDS,
    Show.PRIVATE: lambda row: bool(row.creator or row.tag >> 16 & 1),
}


def is_found(row: Row, text: str, show: Show) -> bool:
    """Whether a row is looked for; what is wrong with a rule is never hidden."""
    return bool(row.wrong) or (_SHOWN[show](row) and _is_named(row, text))


def _is_named(row: Row, text: str) -> bool:
    wanted = text.casefold().replace(" ", "")
    if not wanted:
        return True
    # The tables write names in their own ways; people may know the keyword.
    keyword = dictionary_name(row.tag) if row.vr else ""
    names = (row.name, row.creator, row.note, keyword)
    if any(wanted in name.casefold().replace(" ", "") for name in names):
        return True
    digits = _NOT_IN_TAGS.sub("", wanted)
    is_tag = len(digits) >= 2 and digits == wanted.strip("()").replace(",", "")
    return is_tag and digits in _NOT_IN_TAGS.sub("", row.element.casefold())
