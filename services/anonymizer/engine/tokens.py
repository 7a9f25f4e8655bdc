"""What hides inside kept texts and binary values: identifiers, UIDs and known dates.

UIDs are recognised by their form, so those of other objects go too. Dates are moved only where they
equal a date that the object states elsewhere: a number that merely looks like one stays.
"""

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any, Protocol

import re2

from services.anonymizer.engine.dates import shifted
from services.anonymizer.engine.uids import is_registered

_SHORTEST_UID, _LONGEST_UID = 16, 128
"""An IP address has at most 15 characters, a version number hardly ever more. 64 are legal (PS3.5
9.1); longer ones are met, but a run of hundreds is a table."""
# Roots that organisations get (X.660; ISO 3166 countries below 1.2 and 2.16, 1.3.6.1 IANA, 1.3.12
# ECMA, 2.25 UUIDs). Below the others numbers must look even less like a version.
_UID = re.compile(
    r"(?:1\.2\.[1-9][0-9]{1,2}|1\.3\.[1-9][0-9]*|2\.16\.[1-9][0-9]{0,2})(?:\.[0-9]+)+"
    r"|2\.25\.[1-9][0-9]{15,}(?:\.[0-9]+)*"
    r"|(?:[01]\.[1-3]?[0-9]|2\.[1-4]?[0-9])(?:\.(?:0|[1-9][0-9]*)){4,}"
)
_UNUSUAL_SHORTEST = 20
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TIME_AFTER = re.compile(
    rb"(?:(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:[0-5][0-9][0-9]{0,6})?)?)?(?![0-9])"
)
_TIME = re.compile(rb"(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]")
_MOST_YEARS = 16
"""An object with dates of more years has its dates looked for by their form alone."""

_Change = Callable[[str], str]


class Sweep(Protocol):
    """Replaces an object's identifiers."""

    def clean_text(self, text: str) -> str:
        """`text` with every identifier replaced."""

    def clean_bytes(self, raw: bytes) -> bytes:
        """`raw` with every identifier overwritten, its length unchanged."""


def is_uid_like(token: str) -> bool:
    """Whether a run of digits and dots is a UID that names a thing, not a version or a number."""
    if not _SHORTEST_UID <= len(token) <= _LONGEST_UID or _UID.fullmatch(token) is None:
        return False
    if token.startswith(("1.2.", "1.3.", "2.16.", "2.25.")):
        return True
    return len(token) >= _UNUSUAL_SHORTEST


class Tokens:
    """Cleans the texts and binary values of one object.

    What depends on nothing else: the same object gives the same result, whatever came before it.

    Parameters
    ----------
    sweep
        The object's identifiers.
    map_uid
        The released UID for a UID; UIDs that DICOM registers never reach it.
    dates
        Every date that the object states, `YYYYMMDD`; others stay. Anything else in it is ignored.
    days
        How far dates move.
    """

    def __init__(
        self, sweep: Sweep, map_uid: Callable[[str], str], dates: Collection[str], days: int
    ) -> None:
        self._sweep, self._map, self.days = sweep, map_uid, days
        self._dates = frozenset(filter(_is_date, dates)) if days else frozenset()
        years = frozenset(day[:4] for day in self._dates)
        self._gate, self._in_dates = _patterns(years if len(years) <= _MOST_YEARS else None)

    def map_uid(self, uid: str) -> str:
        """The released UID for `uid`, unless it is registered."""
        return uid if is_registered(uid) else self._map(uid)

    def moved(self, date: str) -> str | None:
        """A DA or DT value moved; None where it can't be."""
        return shifted(date, self.days)

    def clean_text(self, text: str) -> str:
        """`text` with identifiers and UIDs replaced and known dates moved."""
        raw = text.encode("utf-8", "surrogatepass")
        if self._gate.search(raw) is None:
            return self._sweep.clean_text(text)
        with_uids = b"".join(_pieces(raw, _UIDS, self._uid_change, keep_length=False))
        swept = self._sweep.clean_text(with_uids.decode("utf-8", "surrogatepass"))
        raw = swept.encode("utf-8", "surrogatepass")
        return self._with_dates(raw).decode("utf-8", "surrogatepass")

    def clean_bytes(self, raw: bytes) -> bytes:
        """As `clean_text`, in one-byte text and UTF-16, the length of `raw` unchanged.

        A shorter UID is padded, with NUL where NUL or nothing followed, else with blanks; one that
        does not fit is overwritten.
        """
        if self._gate.search(raw) is None:
            return self._sweep.clean_bytes(raw)
        return self._with_dates(self._sweep.clean_bytes(self.with_uids(raw)))

    def with_uids(self, raw: bytes) -> bytes:
        """`raw` with nothing but its UIDs replaced, its length unchanged."""
        return b"".join(_pieces(raw, _UIDS, self._uid_change, keep_length=True))

    def _with_dates(self, raw: bytes) -> bytes:
        if not self._dates:
            return raw
        return b"".join(_pieces(raw, self._in_dates, self._date_change, keep_length=True))

    def _uid_change(self, token: str, _: bytes) -> str:
        uid = token.rstrip(".")
        return self.map_uid(uid) + token[len(uid) :] if is_uid_like(uid) else token

    def _date_change(self, token: str, after: bytes) -> str:
        year, month, day = _parts(token)
        compact = f"{year}{month}{day}"
        if compact not in self._dates:
            return token
        # Only a bare YYYYMMDD goes on in a time: a longer number is another number.
        if len(token) == 8 and not (_TIME_AFTER.match(after) or _TIME.match(after)):
            return token
        moved = shifted(compact, self.days)
        return "X" * len(token) if moved is None else _in_form_of(token, moved)


def _is_date(text: str) -> bool:
    return len(text) == 8 and text.isascii() and text.isdigit()


# Forms of dates


def _parts(token: str) -> tuple[str, str, str]:
    """Year, month and day of a date in any of the forms that `_date_forms` finds."""
    if len(token) == 8:
        return token[:4], token[4:6], token[6:]
    if len(token) == 11:
        name = token[3:6].upper()
        month = f"{_MONTHS.index(name) + 1:02}" if name in _MONTHS else "00"
        return token[7:], month, token[:2]
    if token[2] == ".":
        return token[6:], token[3:5], token[:2]
    return token[:4], token[5:7], token[8:]


def _in_form_of(token: str, compact: str) -> str:
    year, month, day = _parts(compact)
    if len(token) == 8:
        return compact
    if len(token) == 11:
        name, old = _MONTHS[int(month) - 1], token[3:6]
        name = name if old.isupper() else name.lower() if old.islower() else name.title()
        return f"{day}-{name}-{year}"
    if token[2] == ".":
        return f"{day}.{month}.{year}"
    return token[4].join((year, month, day))


# Where tokens stand. RE2 finds candidates in linear time, in all three encodings at once.


def _in_all_encodings(*units: tuple[str, str]) -> bytes:
    """A pattern for characters and how often each, as bytes in ASCII, UTF-16LE and UTF-16BE."""
    single = "".join(f"{unit}{times}" for unit, times in units)
    little = "".join(rf"(?:{unit}\x00){times}" for unit, times in units)
    big = "".join(rf"(?:\x00{unit}){times}" for unit, times in units)
    return f"{single}|{little}|{big}".encode()


def _date_forms(years: frozenset[str] | None) -> Iterator[bytes]:
    digit, tens, day_tens = "[0-9]", "[01]", "[0-3]"
    month = [(tens, ""), (digit, "")]
    day = [(day_tens, ""), (digit, "")]
    for text in sorted(years) if years is not None else [None]:
        year = [(one, "") for one in text] if text else [("[12]", ""), (digit, "{3}")]
        yield _in_all_encodings(*year, *month, *day)
        for mark in ("-", r"\.", "/"):
            yield _in_all_encodings(*year, (mark, ""), *month, (mark, ""), *day)
        yield _in_all_encodings(*day, (r"\.", ""), *month, (r"\.", ""), *year)
        yield _in_all_encodings(*day, ("-", ""), ("[A-Za-z]", "{3}"), ("-", ""), *year)


_UID_FORM = _in_all_encodings(
    ("[0-2]", ""), (r"\.", ""), ("[0-9]", "{1,3}"), (r"\.", ""), ("[0-9]", ""),
    (r"[0-9.]", f"{{{_SHORTEST_UID - 7},}}"),
)  # fmt: skip
_UIDS = re2.compile(_UID_FORM)


@lru_cache(maxsize=256)
def _patterns(years: frozenset[str] | None) -> tuple[Any, Any]:  # re2 ships no types
    """What finds anything at all, and what finds dates of these years; None is any year."""
    if years is not None and not years:
        return _UIDS, None
    dates = b"|".join(_date_forms(years))
    return re2.compile(_UID_FORM + b"|" + dates), re2.compile(dates)


def _pieces(
    raw: bytes, pattern: Any, change: Callable[[str, bytes], str], *, keep_length: bool
) -> Iterator[bytes]:
    """`raw` in pieces, the tokens in it changed."""
    done = position = 0
    while (found := pattern.search(raw, position)) is not None:
        start, end = found.span()
        token = raw[start:end]
        text = token.replace(b"\0", b"").decode("ascii")
        wide = len(text) != len(token)
        # A date may begin within what was none; a run of digits and dots has one meaning only.
        is_uid = "." in text[:2]
        position = end if is_uid else start + 1
        after = _after(raw, token, end, wide=wide)
        # One-byte text, its NUL and then UTF-16 look like a digit before: a UID goes all the same.
        # So does a date with its time: date-times are written with nothing in between.
        glued = wide if is_uid else len(text) == 8 and _TIME.match(after) is not None
        if not glued and _digit_before(raw, start, wide=wide):
            continue
        new = change(text, after)
        if new == text:
            continue
        if keep_length:
            ends_there = not raw[end : end + 1 + wide].strip(b"\0")
            yield raw[done:start] + _fitted(token, len(text), new, nul=ends_there)
        else:
            yield raw[done:start] + new.encode("ascii")
        done = position = end
    yield raw[done:]


def _digit_before(raw: bytes, start: int, *, wide: bool) -> bool:
    if not wide or raw[start] == 0:  # big endian: the character's second byte
        return raw[max(0, start - 1) : start].isdigit()
    return start > 1 and raw[start - 1] == 0 and raw[start - 2 : start - 1].isdigit()


def _after(raw: bytes, token: bytes, end: int, *, wide: bool) -> bytes:
    """The characters after a token, as one-byte text."""
    following = raw[end : end + 32]
    return following[0 if token[-1] == 0 else 1 :: 2] if wide else following


def _fitted(token: bytes, length: int, new: str, *, nul: bool) -> bytes:
    """`new` in the places of the characters of `token`, whose other bytes stay."""
    if len(new) > length:
        new = "X" * length
    characters = iter(new.ljust(length, "\0" if nul else " ").encode("ascii"))
    return bytes(byte and next(characters) for byte in token)
