"""WADO-RS answers made of frames and of bulk data (PS3.18 10.4.1.1.5 and 10.4.1.1.6)."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydicom
from starlette.responses import Response

from services.api.dicomweb import frames, media
from services.api.dicomweb.bodies import Part, Range, body
from services.api.dicomweb.frames import Pixels
from services.api.dicomweb.headers import read_data_set
from services.api.dicomweb.media import Wanted
from services.api.problems import not_found
from shared.spool import disk_trouble

_PIXELS = ("7FE00010", "7FE00008", "7FE00009")
_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,6}/[0-9A-Fa-f]{8}){0,16}")
_MOST_IN_MEMORY = 64 << 20  # bytes of compressed frames whose lengths are told beforehand


def frame_list(path: Path, numbers: Sequence[int], takes: Sequence[Wanted], url: str) -> Response:
    """Some frames of an instance, in the order asked for."""
    pixels = frames.pixels(path)
    possible = [one for one in takes if not one.single or len(numbers) == 1]
    chosen, kind, syntax = pixels.choose(possible)
    for number in numbers:
        if not 1 <= number <= pixels.count:
            raise not_found("frame")
    parts = [_frame(pixels, number, f"{kind}; transfer-syntax={syntax}", url) for number in numbers]
    return body(chosen, kind, parts)


def bulk(path: Path, where: str, takes: Sequence[Wanted], url: str) -> Response:
    """A value that the metadata names by its URI; of compressed pixels all frames."""
    if not _PATH.fullmatch(where):
        raise not_found("bulk data")
    location = f"{url}/bulkdata/{where}"
    if where.upper() in _PIXELS:
        pixels = frames.pixels(path)
        if pixels.is_encapsulated:
            return frame_list(path, range(1, pixels.count + 1), takes, url)
        chosen, kind, syntax = pixels.choose(takes)
        content: Any = Range(path, pixels.offset, pixels.length, pixels.word)
        if pixels.inflated is not None:
            content = [pixels.inflated]
        typed = f"{kind}; transfer-syntax={syntax}"
        return body(chosen, kind, [Part(typed, location, content, pixels.length)])
    chosen, kind = media.choose(takes, [media.OCTETS])
    value = _value(path, where)
    return body(chosen, kind, [Part(kind, location, [value], len(value))])


def _frame(pixels: Pixels, number: int, kind: str, url: str) -> Part:
    location = f"{url}/frames/{number}"
    if pixels.is_encapsulated:
        return Part(kind, location, _Later(pixels, number))
    content, length = pixels.frame(number)
    return Part(kind, location, content, length)


class _Later:
    """A compressed frame, read when it is its turn: one is in memory at a time."""

    def __init__(self, pixels: Pixels, number: int) -> None:
        self._pixels, self._number = pixels, number

    def __iter__(self) -> Any:
        content, _ = self._pixels.frame(self._number)
        return iter(content)


def _value(path: Path, where: str) -> bytes:
    """The bytes of the value at a path of tags with numbers of items between them."""
    data_set: Any = read_data_set(path)
    steps = where.split("/")
    try:
        with disk_trouble():
            for tag, number in pairwise(steps):
                if len(tag) == 8 and len(number) < 8:
                    data_set = data_set[int(tag, 16)].value[int(number) - 1]
            value = data_set[int(steps[-1], 16)].value
    except (KeyError, IndexError, TypeError, ValueError):
        raise not_found("bulk data") from None
    if isinstance(data_set, pydicom.Dataset) and isinstance(value, bytes):
        return value
    raise not_found("bulk data")
