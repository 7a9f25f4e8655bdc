"""What tells a repeat of an image from a change of it."""

import os
from pathlib import Path

import xxhash

from shared.header import read_meta
from shared.walk import Window

_CHUNK = 1 << 20


def digest(path: Path, data_set_offset: int, transfer_syntax: str) -> str:
    """XXH3-128 of the data set and its encoding, without the file meta that Sluse wrote itself."""
    state = xxhash.xxh3_128(transfer_syntax.encode())
    with path.open("rb", buffering=0) as file:
        file.seek(data_set_offset)
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def digest_of(path: Path) -> str:
    """The same of a file of which nothing else is known.

    Raises
    ------
    Reject
        It is no DICOM file.
    OSError
        It can't be read.
    """
    with path.open("rb") as file:
        syntax, offset = read_meta(Window(file.fileno(), os.fstat(file.fileno()).st_size))
    return digest(path, offset, syntax)
