"""The identity sweep: finds an object's own identifiers in whatever else it keeps."""

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

import re2

from services.anonymizer.engine.identity import Collected, is_unspaced

_NEVER, _NEVER_BYTES = "(?!)", rb"[^\x00-\xff]"


class Sweep:
    """Replaces the identifiers of one object.

    Parameters
    ----------
    pseudonym
        What words are replaced by in text.
    map_uid
        What a UID is replaced by in text.
    """

    def __init__(self, collected: Collected, pseudonym: str, map_uid: Callable[[str], str]) -> None:
        self._pseudonym = pseudonym
        self._uids = {uid: map_uid(uid) for uid in collected.uids}
        longest_first = sorted(
            [*collected.words, *collected.uids], key=lambda word: (-len(word), word)
        )
        self._whole = {word.casefold() for word in longest_first}
        self._in_text = _text_pattern(longest_first, collected.uids)
        encodings = sorted(collected.encodings)
        self._in_bytes = _bytes_pattern(longest_first, collected.uids, encodings)
        self._gate = _gate(longest_first, encodings)

    def is_one(self, text: str) -> bool:
        """Whether `text` as a whole is an identifier."""
        return text.casefold() in self._whole

    def clean_text(self, text: str) -> str:
        """`text` with every identifier replaced."""
        return self._in_text.sub(lambda found: self._uids.get(found[0], self._pseudonym), text)

    def clean_bytes(self, raw: bytes) -> bytes:
        """`raw` with every identifier overwritten, its length unchanged.

        Binary values may have an inner structure that depends on lengths, so nothing moves. The
        object's own character sets, UTF-8 and UTF-16 are looked for.
        """
        pieces, done, position = [], 0, 0
        # The slow pattern is tried only where the fast one stops.
        while (hit := self._gate.search(raw, position)) is not None:
            found = self._in_bytes.match(raw, hit.start())
            position = hit.start() + 1
            if found is not None:
                pieces += [raw[done : found.start()], _overwritten(found)]
                done = position = found.end()
        return b"".join([*pieces, raw[done:]]) if pieces else raw


def _text_pattern(words: list[str], uids: Collection[str]) -> re.Pattern[str]:
    # Whole tokens: "Berg" goes, "Bergen" stays; a UID ends where its digits and dots end. Where
    # words are not parted by blanks, they end nowhere.
    kinds = (
        (r"(?<![^\W_])(?:%s)(?![^\W_])", lambda word: word not in uids and not is_unspaced(word)),
        (r"(?<![^\W_])(?:%s)(?![^\W_])(?!\.[0-9])", lambda word: word in uids),
        (r"(?:%s)", is_unspaced),
    )
    parts = [form % ("|".join(map(re.escape, filter(of, words))) or _NEVER) for form, of in kinds]
    return re.compile("|".join(parts), re.IGNORECASE)


def _bytes_pattern(
    words: list[str], uids: Collection[str], encodings: list[str]
) -> re.Pattern[bytes]:
    letter = b"[0-9A-Za-z]"
    forms = (
        (encodings, letter, letter),
        (["utf-16-le"], letter + rb"\0", letter + rb"\0"),
        (["utf-16-be"], rb"\0" + letter, rb"\0" + letter),
    )
    spellings = _spellings([word for word in words if word not in uids])
    parts = [
        b"(?<!%b)(?:%b)(?!%b)" % (before, _either(spellings, codecs), after)
        for codecs, before, after in forms
    ]
    parts += [
        b"(?<!%b)(?:%b)(?!%b)" % (before, _either(sorted(uids), codecs), after + dot)
        for (codecs, before, after), dot in zip(
            forms, (rb"|\.[0-9]", rb"|\.\0[0-9]\0", rb"|\0\.\0[0-9]"), strict=True
        )
    ]
    return re.compile(b"|".join(parts), re.IGNORECASE)


def _gate(words: list[str], encodings: list[str]) -> Any:  # re2 ships no types
    """What finds at least what `_bytes_pattern` does, in linear time: most values hold nothing."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes of whatever character set
    options.case_sensitive = False
    options.log_errors = False  # with many identifiers it goes on without its table
    spellings, codecs = _spellings(words), [*encodings, "utf-16-le", "utf-16-be"]
    return re2.compile(_either(spellings, codecs), options)


def _spellings(words: list[str]) -> list[str]:
    # Ignoring case works on ASCII letters only: the others are spelled out.
    every = ((word, word.lower(), word.upper(), word.title()) for word in words)
    return list(dict.fromkeys(spelling for spellings in every for spelling in spellings))


def _either(spellings: Iterable[str], encodings: Iterable[str]) -> bytes:
    found: dict[bytes, None] = {}
    for spelling in spellings:
        for encoding in encodings:
            with suppress(UnicodeEncodeError, LookupError):
                found[re.escape(spelling.encode(encoding))] = None
    return b"|".join(found) or _NEVER_BYTES


def _overwritten(found: re.Match[bytes]) -> bytes:
    return bytes(0 if byte == 0 else ord("X") for byte in found[0])
