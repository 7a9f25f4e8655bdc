"""A file without its pixel data, so that objects of any size are treated in little memory."""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pydicom
from pydicom import Dataset

from services.anonymizer.engine.copying import copy
from shared.errors import Reason, Reject
from shared.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE, read_header, read_meta
from shared.walk import InMemory, Walk, Window

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, double float and ordinary pixel data; an object has one of them (PS3.3 C.7.6.3)."""
_LARGEST = 1 << 28
"""Bytes beside the pixel data: they are held in memory."""


class Outline:
    """What of a Part 10 file is no pixel data.

    Raises
    ------
    Reject
        It is unreadable, or too large.
    OSError
        It can't be read.
    """

    def __init__(self, source: Path) -> None:
        header = read_header(source)
        self.tags = set(header.tags)
        """Of the top level, without the pixel data."""
        self._start = self._end = 0
        self._file = source.open("rb", buffering=0)
        size = os.fstat(self._file.fileno()).st_size
        self.pixels = min(self.tags & set(PIXELS), default=None)
        """The tag of the pixel data that is left out; None where there is none, or it is read."""
        if header.transfer_syntax in DEFLATED:
            self.pixels = None  # it is bounded as a whole
        elif self.pixels is not None:
            self._start, self._end = _pixels(Window(self._file.fileno(), size))
            self.tags -= set(PIXELS)
        if size - (self._end - self._start) > _LARGEST:
            self._file.close()
            raise Reject(Reason.NOT_DEIDENTIFIABLE, "too much beside the pixel data")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def pixel_bytes(self) -> int:
        """How many the pixel data that is left out has in the file."""
        return self._end - self._start

    def read(self) -> Dataset:
        """The data set without its pixel data."""
        if not self._end:
            return pydicom.dcmread(self._file)
        before = os.pread(self._file.fileno(), self._start, 0)
        self._file.seek(self._end)
        return pydicom.dcmread(io.BytesIO(before + self._file.read()))

    def write(self, data_set: Dataset, target: BinaryIO) -> None:
        """Write a data set that was read here, with the pixel data in its place."""
        if not self._end:
            pydicom.dcmwrite(target, data_set, enforce_file_format=True)
            return
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, data_set, enforce_file_format=True)
        written = buffer.getvalue()
        _, place = _behind_header(InMemory(written))
        target.write(written[:place])
        copy(self._file.fileno(), self._start, self._end, target)
        target.write(written[place:])


def _pixels(window: Window) -> tuple[int, int]:
    """Where the pixel data element starts and ends."""
    walk, start = _behind_header(window)
    _, element = walk.element(start)
    return start, walk.past_value(element)


def _behind_header(window: Window) -> tuple[Walk, int]:
    """Where the first top-level element stands that is pixel data or comes behind it."""
    syntax, position = read_meta(window)
    walk = Walk(window, implicit=syntax == IMPLICIT_LITTLE, big_endian=syntax == EXPLICIT_BIG)
    while position < window.size:
        tag, element = walk.element(position)
        if tag >= PIXELS[0]:
            break
        position = walk.past_value(element)
    return walk, position
