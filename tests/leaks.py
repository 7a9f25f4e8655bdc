"""Looks for what an original gave away in the whole of its de-identified copy.

Independent of the engine and of the demo's checks: `secrets_of` collects every identifier of the
original with a reader of its own, at every depth and in private blocks; `leaks` searches all bytes
of the copy but its pixels (inflated where deflated or zipped, file meta information and preamble
included) in the file's own bytes, Latin-1, UTF-8 and UTF-16 of both orders, in any case of letters.

To avoid false alarms

* parts of names shorter than `SHORTEST_NAME`, ids shorter than `SHORTEST_ID`, numbers shorter than
  `SHORTEST_NUMBER`, UIDs shorter than `SHORTEST_UID` and `HARMLESS` words are not searched for;
  but the very element that held one must not hold it still;
* up to `LONGEST_TOKEN` characters only whole words count: "Berg" is not found in "Bergen";
* dates that a shifted date of the same file may equal are not searched for;
* what the plan itself writes is granted.
"""

import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.identifiers import Kind, Secret, collect, epochs, vr_of
from tests.rawreading import Element, Raw, read_raw

LONGEST_TOKEN, LONGEST_TOKEN_IN_BINARY = 12, 7
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST",
                       "TM", "UC", "UI", "UR", "UT"})  # fmt: skip
_TIME_AFTER = re.compile(rb"(?:[01][0-9]|2[0-3])[0-5][0-9]")
_VALUE_TYPES = frozenset(b"CODE CONTAINER IMAGE NUM PNAME TEXT UIDREF".split())


@dataclass(frozen=True)
class Finding:
    """A leak, in words that do not repeat it."""

    kind: Kind
    where: str
    masked: str

    def __str__(self) -> str:
        return f"{self.kind} {self.masked} in {self.where}"


def leaks(
    original: bytes, copy: bytes, *, shift_days: int = 0, granted: Collection[str] = ()
) -> list[Finding]:
    """What of `original` stands in `copy`.

    Parameters
    ----------
    shift_days
        By how many days the plan moves dates; 0 lets them stand.
    granted
        The plan's own words: participant, project, event and site.
    """
    before, after = read_raw(original), read_raw(copy)
    secrets = collect(before, shift_days, granted)
    found: dict[Finding, None] = {}
    if not after.whole:
        found[Finding(Kind.UNREADABLE, "the copy", "-")] = None
    for offset, segment in after.segments():
        folded = segment.lower()
        for secret in secrets:
            for at in _places(secret, folded, after, offset):
                found[Finding(secret.kind, _where(after, offset + at), secret.masked)] = None
    for element, text in _unzipped(after):
        for secret in secrets:
            if next(_places(secret, text.lower(), after, None), None) is not None:
                found[Finding(secret.kind, f"{element.path}, zipped", secret.masked)] = None
    still = {one.path: after.value(one).strip(b" \0") for one in after.elements}
    for secret in secrets:
        for path, value in secret.origins:
            if value and still.get(path) == value:
                found[Finding(secret.kind, _named(path), secret.masked)] = None
    days = {secret.text for secret in secrets if secret.kind is Kind.DATE}
    found |= dict.fromkeys(Finding(Kind.EPOCH, path, "-") for path in epochs(after, days))
    return list(found)


def _unzipped(raw: Raw) -> Iterator[tuple[Element, bytes]]:
    """What private values hide in gzip's format, as GE's protocol block (0025,xx1B) does."""
    for element in raw.elements:
        value = raw.value(element) if element.tag >> 16 & 1 else b""
        for found in re.finditer(re.escape(b"\x1f\x8b\x08"), value):
            # Damaged and padded streams give what can be had.
            inflating = zlib.decompressobj(zlib.MAX_WBITS | 16)
            with suppress(zlib.error):
                yield element, inflating.decompress(value[found.start() :])


def _places(secret: Secret, folded: bytes, raw: Raw, offset: int | None) -> Iterator[int]:
    """Where a secret stands in a segment whose ASCII letters are in lower case.

    `offset` is the segment's in `raw`; what was zipped has none.
    """
    for spelling, width, order in secret.spellings:
        at = folded.find(spelling)
        while at >= 0:
            element = None if offset is None else raw.at(offset + at)
            if element is not None and _is_defined_term(element, raw):
                at = folded.find(spelling, at + 1)
                continue
            textual = element is not None and vr_of(element) in _TEXT_VRS
            before, after = _around(folded, at, at + len(spelling), width, order)
            if _stands_alone(secret, before, after, textual=textual):
                yield at
                break  # one place tells enough
            at = folded.find(spelling, at + 1)


def _is_defined_term(element: Element, raw: Raw) -> bool:
    """A ValueType is a word of the standard (PS3.3 C.17.3.2.1), whatever somebody is called."""
    return element.tag == 0x0040A040 and raw.value(element).strip(b" \0") in _VALUE_TYPES


def _around(folded: bytes, start: int, stop: int, width: int, order: str) -> tuple[bytes, bytes]:
    """The neighbours as one byte a letter; what is not ASCII in UTF-16 is nothing."""
    before, after = folded[max(start - 2 * width, 0) : start], folded[stop : stop + 4 * width]
    if width == 2:
        before, after = (_narrow(part, order) for part in (before, after))
    return before, after


def _narrow(wide: bytes, order: str) -> bytes:
    text = wide[: len(wide) // 2 * 2].decode(f"utf-16-{order}", "replace")
    return "".join(letter if letter.isascii() else "\0" for letter in text).encode()


def _stands_alone(secret: Secret, before: bytes, after: bytes, *, textual: bool) -> bool:
    if secret.kind is Kind.UID:
        # Another UID may begin or end as a short one does; what a long one begins is its kin.
        if before[-1:].isdigit() or after[:1].isdigit():
            return False
        kin = bool(re.search(rb"[0-9]\.$", before) or re.match(rb"\.[0-9]", after))
        return not kin or len(secret.text) >= 24
    if secret.kind in (Kind.DATE, Kind.BIRTH_DATE) and not before[-1:].isdigit():
        return not after[:1].isdigit() or _TIME_AFTER.match(after) is not None
    if secret.text[-1].isdigit() and after[:1].isdigit():
        return False
    longest = LONGEST_TOKEN if textual else LONGEST_TOKEN_IN_BINARY
    if len(secret.text) > longest and not secret.text.isdigit():
        return True
    return not (_is_letter(before[-1:], textual) or _is_letter(after[:1], textual))


def _is_letter(neighbour: bytes, textual: bool) -> bool:
    # Above ASCII a byte of a text is most likely a letter's, a byte of anything else just noise.
    return neighbour.isalnum() or (textual and neighbour >= b"\xc0")


def _where(raw: Raw, offset: int) -> str:
    element = raw.at(offset)
    if element is None:
        return "the preamble" if offset < 128 else f"the header of an element at {offset}"
    return _named(element.path)


def _named(path: str) -> str:
    return f"file meta {path}" if path.startswith("0002") else path
