"""WADO-RS: whole instances, as files (PS3.18 section 10.4)."""

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian
from starlette.responses import Response

from services.api.dicomweb import media
from services.api.dicomweb.bodies import Part, Range, body
from services.api.dicomweb.holding import Held
from services.api.dicomweb.media import Wanted, not_acceptable
from shared.errors import Reason, Retry
from shared.header import IMPLICIT_LITTLE
from shared.spool import Spool, disk_trouble

_DEFLATED = "1.2.840.10008.1.2.1.99"
_REWRITABLE = frozenset({IMPLICIT_LITTLE, _DEFLATED})
"""Uncompressed little endian: written anew as Explicit VR Little Endian (PS3.5 annex A)."""
_MOST_REWRITTEN = 256 << 20  # bytes of a file: it is in memory meanwhile


class _Rewritten:
    """A file in Explicit VR Little Endian, made when it is its turn to be sent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self):  # type: ignore[no-untyped-def]
        data_set = pydicom.dcmread(self._path)
        data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        target = BytesIO()
        pydicom.dcmwrite(target, data_set, enforce_file_format=True)
        yield target.getvalue()


async def instances(
    spool: Spool, held: Sequence[Held], takes: Sequence[Wanted], root: str
) -> Response:
    """The files of instances; a 406 problem where one can't be given as asked."""
    possible = [
        one for one in takes if one.takes(media.DICOM) and not (one.single and len(held) > 1)
    ]
    plans = [_syntax(one, possible) for one in held]
    if not possible or None in plans:
        raise not_acceptable(
            "Instances are given as multipart/related application/dicom in the transfer syntax "
            "that they are stored in (transfer-syntax=*), uncompressed ones in Explicit VR Little "
            "Endian as well."
        )
    await asyncio.to_thread(_require, spool, held)
    parts = [
        _part(spool, one, syntax, root) for one, syntax in zip(held, plans, strict=True) if syntax
    ]
    return body(possible[0], media.DICOM, parts)


def _syntax(one: Held, takes: Sequence[Wanted]) -> str | None:
    """The transfer syntax in which an instance is given; None where it can't be as wanted.

    Without a word about it, that is the one it is stored in: more clients take that than would
    take a refusal of what is compressed.
    """
    rewritable = one.syntax in _REWRITABLE and one.size <= _MOST_REWRITTEN
    for wanted in takes:
        if wanted.syntax in (None, "*", one.syntax):
            return one.syntax
        if wanted.syntax == ExplicitVRLittleEndian and rewritable:
            return str(ExplicitVRLittleEndian)
    return None


def _part(spool: Spool, one: Held, syntax: str, root: str) -> Part:
    kind, path = f"{media.DICOM}; transfer-syntax={syntax}", spool.path(one.spool_key)
    if syntax == one.syntax:
        return Part(kind, one.url(root), Range(path, 0, one.size), one.size)
    return Part(kind, one.url(root), _Rewritten(path))


def _require(spool: Spool, held: Sequence[Held]) -> None:
    """Look whether all files are there, before anything is promised."""
    with disk_trouble():
        for one in held:
            if spool.path(one.spool_key).stat().st_size != one.size:
                raise Retry(Reason.DISK_TROUBLE)
