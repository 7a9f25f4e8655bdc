"""Files that appear under their names complete, or not at all, and never over another."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def name_exclusively(file: Path, target: Path) -> None:
    """Give `file` the name `target` too, or instead.

    Raises
    ------
    FileExistsError
        Something has that name.
    """
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here (exFAT, some shares): the name is reserved, then taken.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            file.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """A new text file for its owner only (mode 0600), named when the block ends without exception.

    Raises
    ------
    FileExistsError
        Something has that name.
    OSError
        It can't be written.
    """
    draft = path.parent / f".sluse-{uuid.uuid4().hex}"
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 a descriptor
            yield file
            file.flush()
            os.fsync(file.fileno())
        name_exclusively(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
