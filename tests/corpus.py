"""pydicom's bundled files, as input for tests."""

import warnings
from functools import cache
from pathlib import Path

import pydicom

_FOLDER = Path(pydicom.__file__).parent / "data"
_NOT_DICOM = {".py", ".pyc", ".json", ".txt", ".md", ".dump", ".icc", ".gz"}


@cache
def all_files() -> list[Path]:
    """Every bundled file that might be DICOM."""
    return sorted(
        path
        for path in _FOLDER.rglob("*")
        if path.is_file() and path.suffix not in _NOT_DICOM and path.name != "README"
    )


@cache
def storage_objects() -> list[Path]:
    """The bundled files that are whole storage objects with all their UIDs."""
    from shared.errors import Reject
    from shared.header import read_header
    from shared.identity import is_usable_uid

    found = []
    for path in all_files():
        try:
            header = read_header(path)
        except Reject:
            continue
        if all(
            is_usable_uid(header.text(tag) or "")
            for tag in (0x0020000D, 0x0020000E, 0x00080018, 0x00080016)
        ):
            found.append(path)
    return found


def read(path: Path) -> pydicom.Dataset:
    """Read with pydicom, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path)
