"""Bodies of answers that are read from the disk while they are sent."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response, StreamingResponse

from services.api.dicomweb import media
from services.api.dicomweb.media import Wanted

CHUNK = 1 << 20


@dataclass(frozen=True)
class Part:
    """One part of a body, and the way to its content."""

    content_type: str
    location: str
    """Its own URL."""
    content: Iterable[bytes]
    length: int | None = None
    """Bytes of its content, where that is known."""


@dataclass(frozen=True)
class Range:
    """Bytes of a file; read each time it is gone through, a chunk at a time."""

    path: Path
    offset: int
    length: int
    word: int = 1
    """Bytes whose order is turned around: of words in big endian."""

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.length
            while left:
                data = file.read(min(CHUNK, left))
                if not data:
                    # What was announced can't be kept: the connection breaks off.
                    raise EOFError
                left -= len(data)
                yield _swapped(data, self.word)


def _swapped(data: bytes, word: int) -> bytes:
    if word == 1:
        return data
    turned = bytearray(len(data))
    for place in range(word):
        turned[place::word] = data[word - 1 - place :: word]
    return bytes(turned)


def multipart(kind: str, parts: list[Part]) -> Response:
    """A `multipart/related` answer of parts that are all of one kind (RFC 2387)."""
    boundary = secrets.token_hex(16)
    heads = [_head(boundary, part) for part in parts]
    end = f"\r\n--{boundary}--\r\n".encode()
    headers = {}
    lengths = [part.length for part in parts]
    if None not in lengths:
        known = sum(length or 0 for length in lengths) + sum(map(len, heads)) + len(end)
        headers["content-length"] = str(known)

    def stream() -> Iterator[bytes]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            yield from part.content
        yield end

    kind = f'{media.MULTIPART}; type="{kind}"; boundary={boundary}'
    return StreamingResponse(stream(), headers=headers, media_type=kind)


def body(wanted: Wanted, kind: str, parts: list[Part]) -> Response:
    """An answer as it is wanted: the only part itself, or all parts."""
    if not wanted.single:
        return multipart(kind, parts)
    (part,) = parts
    headers = {"content-location": part.location}
    if part.length is not None:
        headers["content-length"] = str(part.length)
    return StreamingResponse(iter(part.content), headers=headers, media_type=part.content_type)


def _head(boundary: str, part: Part) -> bytes:
    length = "" if part.length is None else f"Content-Length: {part.length}\r\n"
    location = f"Content-Location: {part.location}\r\n" if part.location else ""
    return (
        f"\r\n--{boundary}\r\nContent-Type: {part.content_type}\r\n{location}{length}\r\n"
    ).encode()
