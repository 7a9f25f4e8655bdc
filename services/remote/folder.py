"""Sends a folder or a ZIP into an import: only what is missing there, four files at once."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sluse_client import Client, SluseError, every, models

_AT_ONCE = 4
_NAMED_AT_ONCE = 500
OPEN = (
    models.ImportState.UPLOADING,
    models.ImportState.READING,
    models.ImportState.REVIEW,
    models.ImportState.FAILED,
)
"""States of an import that can go on."""


class UnreadableError(SluseError):
    """Something on this machine can't be read. Names of files may name patients: it has none."""


@dataclass(frozen=True)
class Listed:
    """A file that is to be sent."""

    label: str
    """What Sluse knows it by: its path from the folder on, as a browser has it."""
    path: Path
    size: int


def listed(source: Path) -> list[Listed]:
    """The files of a folder with all below it, or the one file, by label.

    Links are not followed: they may lead anywhere.
    """
    source = source.resolve()
    try:
        if source.is_file():
            return [Listed(source.name, source, source.stat().st_size)]
        return sorted(_below(source), key=lambda one: one.label)
    except OSError as error:
        raise UnreadableError(f"The folder can't be read: {error.strerror}.") from None


def _below(folder: Path) -> Iterator[Listed]:
    def fail(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=fail):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                label = (Path(folder.name) / path.relative_to(folder)).as_posix()
                # Linux takes names that are no text.
                label = label.encode(errors="surrogateescape").decode(errors="replace")
                yield Listed(label, path, path.stat().st_size)


def mark(files: list[Listed]) -> str:
    """What tells this set of files from others, in the import's note, without their names."""
    digest = hashlib.sha256()
    for one in files:
        digest.update(f"{one.label}\0{one.size}\0".encode())
    return f"[sluse import {digest.hexdigest()[:16]}]"


def find(client: Client, project: str, files: list[Listed]) -> models.ImportRead | None:
    """The import that was begun with the same files and can go on."""
    marked = mark(files)
    for one in every(client.list_imports, project=project):
        if marked in one.note and one.state in OPEN:
            return one
    return None


def send(client: Client, import_id: int, files: list[Listed], told: Callable[[int], None]) -> None:
    """Send what is missing of `files`; `told` hears of bytes that are there, from several threads.

    Raises
    ------
    SluseError
        A file can't be read or sent. What arrived stays.
    """
    iterator = iter(files)
    stopping = threading.Event()

    def heard(count: int) -> None:
        told(count)
        if stopping.is_set():
            raise SluseError("Stopped.")

    while some := list(islice(iterator, _NAMED_AT_ONCE)):
        body = models.FilesCreate(
            files=[models.FileCreate(path=one.label, size=one.size) for one in some]
        )
        named = client.name_files(import_id, body)

        def one_file(
            local: Listed, there: models.FileRead, max_chunk: int = named.max_chunk
        ) -> None:
            told(there.offset)
            if stopping.is_set() or there.offset >= local.size:
                return
            try:
                with local.path.open("rb") as content:
                    client.send_file(
                        import_id, there.id, content, local.size,
                        offset=there.offset, max_chunk=max_chunk, told=heard,
                    )  # fmt: skip
            except OSError as error:
                raise UnreadableError(f"A file can't be read: {error.strerror}.") from None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sending = [pool.submit(one_file, *pair) for pair in zip(some, named.files, strict=True)]
            try:
                done, _ = wait(sending, return_when=FIRST_EXCEPTION)
            finally:  # after a Ctrl-C too: the pieces under way are brought to their end
                stopping.set()
        stopping.clear()
        for one in done:
            one.result()
