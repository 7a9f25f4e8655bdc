"""Copies bytes from one file to another in the kernel."""

import os
from typing import BinaryIO

from shared.errors import Reason, Reject

_CHUNK = 1 << 24


def copy(source: int, start: int, end: int, target: BinaryIO) -> None:
    """Copy the bytes from `start` to `end` of the file `source` to where `target` ends.

    Raises
    ------
    Reject
        The file is shorter than that.
    """
    try:
        descriptor = target.fileno()
    except OSError:
        _copy_in_memory(source, start, end, target)
        return
    target.flush()
    while start < end:
        sent = os.sendfile(descriptor, source, start, end - start)
        if not sent:
            raise Reject(Reason.TRUNCATED)
        start += sent
    target.seek(0, os.SEEK_END)


def _copy_in_memory(source: int, start: int, end: int, target: BinaryIO) -> None:
    while start < end:
        data = os.pread(source, min(_CHUNK, end - start), start)
        if not data:
            raise Reject(Reason.TRUNCATED)
        target.write(data)
        start += len(data)
