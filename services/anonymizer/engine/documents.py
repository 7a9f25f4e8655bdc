"""Encapsulated documents (PS3.3 C.24.2) that a project permits: they pass as they are, or not.

Nothing in a document can be replaced without breaking it, so one that names the person, or states
the object's dates or UIDs, is held. PDFs keep most of what they say in deflated streams (ISO 32000
7.3.8), which are looked into; what is drawn, or encoded for one font only, is not understood.
"""

import re
import zlib
from collections.abc import Iterator

from services.anonymizer.engine.tokens import Tokens
from shared.errors import Reason, Reject

_STREAM = re.compile(rb"(?<!end)stream\r?\n?")
_PIECE = 1 << 14
_MOST_STREAMS = 20_000
_LARGEST_STREAM = 1 << 25
_MOST_INFLATED = 1 << 28


def checked(tokens: Tokens, document: bytes) -> bytes:
    """`document`, in which none of the object's identifiers was found.

    Raises
    ------
    Reject
        There is one, or more is in it than can be looked through.
    """
    for part in (document, *_inflated(document)):
        if tokens.clean_bytes(part) != part:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "a document that holds identifiers or dates")
    return document


def _inflated(document: bytes) -> Iterator[bytes]:
    total = 0
    for number, found in enumerate(_STREAM.finditer(document)):
        part = _stream(document, found.end())
        total += len(part)
        if len(part) > _LARGEST_STREAM or total > _MOST_INFLATED or number >= _MOST_STREAMS:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "a document that is too large to be searched")
        yield part


def _stream(document: bytes, position: int) -> bytes:
    """The deflated stream that starts there: as much as can be had, at most a byte too much.

    Empty where there is none: another filter, or the word in some text.
    """
    inflating, parts, length = zlib.decompressobj(), [], 0
    # In pieces: what is left of the input is copied at every call.
    while position < len(document) and not inflating.eof and length <= _LARGEST_STREAM:
        piece = inflating.unconsumed_tail or document[position : position + _PIECE]
        if not inflating.unconsumed_tail:
            position += len(piece)
        try:
            parts.append(inflating.decompress(piece, _LARGEST_STREAM + 1 - length))
        except zlib.error:
            break
        length += len(parts[-1])
    return b"".join(parts)
