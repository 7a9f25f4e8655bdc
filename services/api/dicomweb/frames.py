"""WADO-RS: frames and bulk data (PS3.18 sections 10.4.1.1.5 and 10.4.1.1.6)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.encaps import generate_frames, get_frame
from pydicom.uid import ExplicitVRLittleEndian

from services.api.dicomweb import media
from services.api.dicomweb.bodies import Range
from services.api.dicomweb.headers import read_data_set
from services.api.dicomweb.media import Wanted, not_acceptable
from services.api.problems import ProblemError, not_found
from shared.header import DEFLATED, EXPLICIT_BIG, read_header
from shared.spool import disk_trouble
from shared.walk import UNDEFINED

_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002  # extended offset table (PS3.3 C.7.6.3.1.8)
_DESCRIBING = (0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100)
_WORDS = {b"OW": 2, b"OF": 4, b"OD": 8}
# PS3.18 table 8.7.3-5: what the frames of each transfer syntax are by themselves.
_KINDS = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)], "image/jpeg"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)], "image/jls"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)], "image/jp2"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (92, 93)], "image/jpx"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112)], "image/jxl"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)], "image/jphc"),
}
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")
_MOST_FRAMES = 100_000
_MOST_IN_LIST = 1000


@dataclass(frozen=True)
class Pixels:
    """The pixel data of one file."""

    path: Path
    syntax: str
    offset: int
    length: int
    count: int
    """Frames."""
    frame_length: int | None
    """Bytes of one uncompressed frame; None where frames do not end on bytes."""
    word: int
    """Bytes of a word, where they stand in big endian."""
    tables: tuple[bytes, bytes] | None
    """Extended offset table."""
    inflated: bytes | None
    """The pixel data itself, of a deflated file."""

    @property
    def is_encapsulated(self) -> bool:
        """Whether each frame is compressed by itself."""
        return self.length == UNDEFINED

    def choose(self, takes: Sequence[Wanted]) -> tuple[Wanted, str, str]:
        """What is wanted, in which media type and transfer syntax it is given; else a 406."""
        if _VIDEO.fullmatch(self.syntax):
            raise not_acceptable("A video is given as a whole instance only.")
        syntax = self.syntax if self.is_encapsulated else str(ExplicitVRLittleEndian)
        kind = _KINDS.get(syntax, media.OCTETS) if self.is_encapsulated else media.OCTETS
        for one in takes:
            if one.takes(kind) and one.syntax in (None, "*", syntax):
                return one, kind, syntax
            # Compressed bytes under the plain name: only for who says that any will do.
            if one.takes(media.OCTETS) and one.syntax in ("*", syntax):
                return one, media.OCTETS, syntax
        raise not_acceptable(
            f"These frames are given as they are stored: {kind}; transfer-syntax={syntax}, "
            "or application/octet-stream; transfer-syntax=*."
        )

    def frame(self, number: int) -> tuple[Iterable[bytes], int]:
        """The content of a frame, counted from 1, and its length; a 404 where there is none."""
        if not 1 <= number <= self.count:
            raise not_found("frame")
        if self.is_encapsulated:
            with disk_trouble(), self.path.open("rb") as file, _told_apart():
                file.seek(self.offset)
                data = get_frame(
                    file, number - 1, number_of_frames=self.count, extended_offsets=self.tables
                )
            return [data], len(data)
        if self.frame_length is None:
            raise not_acceptable("These frames can't be told apart: ask for the instance.")
        start = (number - 1) * self.frame_length
        if self.inflated is not None:
            return [self.inflated[start : start + self.frame_length]], self.frame_length
        content = Range(self.path, self.offset + start, self.frame_length, self.word)
        return content, self.frame_length

    def every_frame(self) -> Iterator[bytes]:
        """The frames of encapsulated pixel data, one after the other."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            yield from generate_frames(
                file, number_of_frames=self.count, extended_offsets=self.tables
            )


class _told_apart:  # noqa: N801 reads as the phrase it is
    """Turns what pydicom says of broken fragments into a 406 problem."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: Any, _traceback: Any) -> None:
        if error is not None and not isinstance(error, OSError):
            raise not_acceptable("These frames can't be told apart: ask for the instance.")


def numbers(text: str) -> list[int]:
    """The numbers of a list of frames (PS3.18 10.4.1.1.6); a 400 problem where it is none."""
    found = text.split(",")
    if len(found) > _MOST_IN_LIST or not all(
        one.isascii() and one.isdigit() and len(one) < 10 for one in found
    ):
        raise ProblemError(400, f"A list of at most {_MOST_IN_LIST} frame numbers, please: 1,2,3.")
    return list(map(int, found))


def pixels(path: Path) -> Pixels:
    """The pixel data of a file; a 404 problem where it has none.

    Raises
    ------
    Retry
        The file can't be read.
    """
    with disk_trouble():
        header = read_header(path)
    tag = next((one for one in _PIXELS if one in header), None)
    if tag is None:
        raise not_found("pixel data")
    vr, offset, length = header.element(tag)
    described = read_data_set(path, _DESCRIBING)
    count = _whole(described, 0x00280008) or 1
    if count > _MOST_FRAMES:
        raise not_acceptable("There are too many frames: ask for the instance.")
    inflated = None
    if header.transfer_syntax in DEFLATED:
        with disk_trouble():
            inflated = bytes(pydicom.dcmread(path)[tag].value)
    big = header.transfer_syntax == EXPLICIT_BIG
    return Pixels(
        path=path,
        syntax=header.transfer_syntax,
        offset=offset,
        length=length,
        count=count,
        frame_length=None if length == UNDEFINED else _frame_length(described, length, count),
        word=_WORDS.get(vr, 1) if big else 1,
        tables=_tables(path, header.tags) if length == UNDEFINED else None,
        inflated=inflated,
    )


def _frame_length(described: pydicom.Dataset, length: int, count: int) -> int | None:
    """Bytes of an uncompressed frame (PS3.5 section 8.1.1)."""
    rows, columns, samples, bits = (
        _whole(described, tag) for tag in (0x00280010, 0x00280011, 0x00280002, 0x00280100)
    )
    total = rows * columns * samples * bits
    if described.get("PhotometricInterpretation") == "YBR_FULL_422":
        total = total * 2 // 3  # PS3.3 C.7.6.3.1.2
    if count == 1 and total and length - (total + 7) // 8 in (0, 1):
        return (total + 7) // 8
    exact, rest = divmod(total, 8)
    return exact if exact and not rest and length - exact * count in (0, 1) else None


def _whole(described: pydicom.Dataset, tag: int) -> int:
    try:
        return int(described[tag].value)
    except (KeyError, TypeError, ValueError):
        return 0


def _tables(path: Path, tags: Iterable[int]) -> tuple[bytes, bytes] | None:
    if not {_OFFSETS, _LENGTHS} <= set(tags):
        return None
    found = read_data_set(path, (_OFFSETS, _LENGTHS))
    with disk_trouble():
        return bytes(found[_OFFSETS].value), bytes(found[_LENGTHS].value)
