"""How a text, a date or a UID may stand in bytes."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

_DATE_FORMS = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y",
               "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%Y:%m:%d")  # fmt: skip


class Spelling(NamedTuple):
    """A needle."""

    folded: bytes
    """ASCII letters are in lower case."""
    width: int = 1
    """Bytes per letter."""
    order: str = ""
    """Order of the bytes of a wide letter, `le` or `be`."""


def spellings_of(text: str, encodings: Collection[str] = ()) -> set[Spelling]:
    """`text` in any case of letters and every encoding that can hold it."""
    found: set[Spelling] = set()
    for form in (text, text.lower(), text.upper(), text.title()):
        for encoding, width, order in (
            *((one, 1, "") for one in ("latin-1", "utf-8", *encodings)),
            ("utf-16-le", 2, "le"), ("utf-16-be", 2, "be"),
        ):  # fmt: skip
            try:
                found.add(Spelling(form.encode(encoding).lower(), width, order))
            except (UnicodeEncodeError, LookupError):
                continue
    return found


def packed(uid: str) -> Spelling:
    """A UID in half bytes, as the headers of GE's raw data have it (digits from 1, `.` is 11)."""
    halves = [11 if letter == "." else int(letter) + 1 for letter in uid]
    pairs = zip(halves[::2], halves[1::2], strict=False)
    return Spelling(bytes(a << 4 | b for a, b in pairs).lower())


def spellings_of_date(at: datetime) -> tuple[Spelling, ...]:
    """A day as people and programs write it."""
    return tuple(sorted({one for form in _DATE_FORMS for one in spellings_of(at.strftime(form))}))
