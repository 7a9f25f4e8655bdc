"""Sends files of imports in pieces, and goes on where one broke off (docs/importing.md)."""

from collections.abc import Callable
from typing import BinaryIO

from sluse_client.transport import (
    ApiProblem,
    SluseError,
    Transport,
    UnexpectedAnswerError,
    UnreachableError,
    wait_of,
)

Told = Callable[[int], object]
"""Called with the bytes that have come since the last call; less than none when fewer are there."""

_TRIES = 8
_WAIT = 1.0  # seconds, after a connection that broke
_WAITING = (423, 503)  # somebody else sends this file; too many are sending
_PIECE = "application/offset+octet-stream"


class ChangedFileError(SluseError):
    """A file is shorter than it was when it was named."""


def nobody(_: int) -> None:
    """Tells nobody."""


def send_file(
    transport: Transport,
    import_id: int,
    file_id: int,
    content: BinaryIO,
    size: int,
    *,
    offset: int = 0,
    max_chunk: int,
    told: Told = nobody,
) -> None:
    """Send what is missing of a file, waiting where Sluse asks for it, a bounded number of times.

    Parameters
    ----------
    offset
        Where it goes on, as the answer to naming the file says.
    max_chunk
        Bytes of a piece, from the same answer.

    Raises
    ------
    SluseError
        It was refused, or tried in vain.
    """
    path = f"/imports/{import_id}/files/{file_id}"
    tries = 0
    while offset < size:
        content.seek(offset)
        piece = content.read(min(max_chunk, size - offset))
        if not piece:
            raise ChangedFileError("A file has become shorter while it was sent.")
        try:
            reached = _send(transport, path, offset, piece)
        except ApiProblem as problem:
            if problem.status == 409 and "upload-offset" in problem.headers:
                reached = _offset(problem.headers["upload-offset"])
            elif problem.status not in _WAITING or tries == _TRIES:
                raise
            else:
                transport.pause(wait_of(problem.headers))
                reached = offset
        except UnreachableError:
            if tries == _TRIES:
                raise
            transport.pause(_WAIT)
            reached = _asked(transport, path, offset)
        # Only what comes forward begins to count anew.
        tries = 0 if reached > offset else tries + 1
        if tries > _TRIES:
            raise UnexpectedAnswerError("A file does not get on.")
        told(reached - offset)
        offset = reached


def _send(transport: Transport, path: str, offset: int, piece: bytes) -> int:
    headers = {"upload-offset": str(offset)}
    answer = transport.send("PATCH", path, content=piece, content_type=_PIECE, headers=headers)
    return _offset(answer.headers.get("upload-offset", ""))


def _asked(transport: Transport, path: str, otherwise: int) -> int:
    """Where the file goes on, as Sluse says; what came of a broken piece counts."""
    try:
        return _offset(transport.send("HEAD", path).headers.get("upload-offset", ""))
    except UnreachableError:
        return otherwise


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise UnexpectedAnswerError("Sluse does not say where the file goes on.")
    return int(text)
