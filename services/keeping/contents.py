"""What a backup consists of, and whether it is whole.

================  ==================================================================================
`backup.json`     what it is of (`Description`)
`database.…`      the database; `tables/` where it is portable
`spool.jsonl.gz`  every file of the spool: name, size, what is known of its content
`spool/`          the files themselves, where they were asked for
`master.key`      the same; everything else is of use with it only
`SHA256SUMS`      of all of these but `spool/`, which the list of files covers
================  ==================================================================================
"""

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TextIO, cast

from pydantic import BaseModel, ValidationError

from shared.disk import make_folder, sync_file, sync_folder
from shared.errors import StartError

FORMAT = 1
SPOOL = "spool"
_DESCRIPTION, _SUMS, _LIST, KEY = "backup.json", "SHA256SUMS", "spool.jsonl.gz", "master.key"
_CHUNK = 1 << 20


class Kind(StrEnum):
    """How the database stands in a backup."""

    SQLITE = "sqlite"
    """A database file: `database.sqlite`."""
    PG_DUMP = "pg_dump"
    """An archive of pg_dump's custom format: `database.pgdump`."""
    TABLES = "tables"
    """Every table as lines of JSON, for either database: `tables/`."""


class Description(BaseModel):
    """What a backup is of."""

    format: int = FORMAT
    sluse: str
    """The version that made it."""
    revision: str
    """Of the database's schema."""
    kind: Kind
    made_at: datetime
    master_key: str | None
    """What the key is recognised by; None where it could not be read."""
    rows: dict[str, int]
    """How many the larger tables have."""
    files: int = 0
    size: int = 0
    """How many files the spool has, and their bytes."""
    with_spool: bool = False


class Entry(BaseModel):
    """A file of the spool."""

    name: str
    size: int
    digest: str = ""
    """XXH3-128 of the data set, where the ledger has it."""
    sha256: str = ""
    """Of the file, where it was copied."""


def write_description(folder: Path, description: Description) -> None:
    """Write what the backup in `folder` is of."""
    (folder / _DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n")


def read_description(folder: Path) -> Description:
    """What the backup in `folder` is of.

    Raises
    ------
    StartError
        It is none, or one that this version can't read.
    """
    try:
        found = Description.model_validate_json((folder / _DESCRIPTION).read_bytes())
    except (OSError, ValidationError):
        raise StartError(f"{folder} is no backup of Sluse") from None
    if found.format > FORMAT:
        raise StartError(
            f"this backup was made by Sluse {found.sluse}, which is newer: restore it with that"
        )
    return found


class Listing:
    """The list of the spool's files while it is written, and what it comes to."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.files = self.size = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Write some more."""
        for entry in entries:
            self._file.write(entry.model_dump_json(exclude_defaults=True) + "\n")
            self.files, self.size = self.files + 1, self.size + entry.size


@contextmanager
def writing_entries(folder: Path, *, anew: bool = False) -> Iterator[Listing]:
    """Write the list of the spool's files; `anew`: in place of the one that is read meanwhile."""
    path = folder / (f"{_LIST}.new" if anew else _LIST)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=3) as file:
        yield Listing(cast(TextIO, file))
    path.replace(folder / _LIST)


def read_entries(folder: Path) -> Iterator[Entry]:
    """The list of the spool's files."""
    with gzip.open(folder / _LIST, "rt", encoding="utf-8") as listing:
        for line in listing:
            yield Entry.model_validate_json(line)


def seal(folder: Path) -> None:
    """Write the checksums, and make all of it durable."""
    lines = []
    for path in _checked(folder):
        lines.append(f"{sha256(path)}  {path.relative_to(folder)}\n")
        sync_file(path)
    sums = folder / _SUMS
    sums.write_text("".join(lines))
    sync_file(sums)
    for inner in {path.parent for path in _checked(folder)} | {folder}:
        sync_folder(inner)


def check(folder: Path) -> None:
    """Make sure that a backup is whole.

    Raises
    ------
    StartError
        It is not.
    """
    try:
        lines = (folder / _SUMS).read_text().splitlines()
    except OSError:
        raise StartError(f"{folder} is no whole backup: it has no {_SUMS}") from None
    named = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        named[name] = digest
    there = {str(path.relative_to(folder)) for path in _checked(folder)}
    if lacking := sorted(named.keys() - there):
        raise StartError(f"this backup is not whole: {', '.join(lacking)} is missing")
    for name, digest in named.items():
        if sha256(folder / name) != digest:
            raise StartError(f"this backup is damaged: {name} is not what it was")


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path) -> str:
    """Copy a file durably, and read the copy once more; SHA-256 of it.

    Raises
    ------
    OSError
        It can't be read or written, or what was written reads otherwise.
    """
    make_folder(target.parent)
    state = hashlib.sha256()
    partial = target.with_name(target.name + ".partial")
    with source.open("rb") as reading, partial.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            state.update(chunk)
            writing.write(chunk)
    sync_file(partial)
    if sha256(partial) != state.hexdigest():
        raise OSError(f"{target.name} does not read as it was written")
    partial.replace(target)
    return state.hexdigest()


def _checked(folder: Path) -> list[Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path for path in found if path.relative_to(folder).parts[0] != SPOOL and path.name != _SUMS
    ]
