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

_STREAM = re.compile(rb"stream\r?\n")
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
    for found in _STREAM.finditer(document):
        try:
            part = zlib.decompressobj().decompress(
                memoryview(document)[found.end() :], _LARGEST_STREAM
            )
        except zlib.error:
            continue  # another filter, or the word in some text
        total += len(part)
        if len(part) == _LARGEST_STREAM or total > _MOST_INFLATED:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "a document that is too large to be searched")
        yield part
