"""Takes a piece of a file: onto the disk, synced, before the offset says that it is here.

The offset in the ledger is the truth. What the disk may hold behind it, of a piece that was broken
off by a crash, is written over.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO, NamedTuple

from sqlalchemy import select, update
from starlette.requests import ClientDisconnect, Request

from services.api.imports.service import require
from services.api.problems import ProblemError, not_found
from shared.clock import now
from shared.disk import disk_trouble
from shared.errors import Reason, Retry
from shared.ledger import Connection
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportFile, core
from shared.runtime import Runtime
from shared.staging import BusyError

_import, _file = core(Import), core(ImportFile)
_PIECE = 1 << 20  # bytes that are handed to a thread at once

OFFSET = "Upload-Offset"


class Place(NamedTuple):
    """How far a file is."""

    association_id: str
    state: str
    """Of the import."""
    size: int
    received: int


class WrongOffset(ProblemError):
    """The piece does not belong where the file ends; the answer says where that is."""

    def __init__(self, received: int) -> None:
        super().__init__(409, f"The file goes on at byte {received}: send it from there.")
        self.headers = {OFFSET: str(received)}


class Locked(ProblemError):
    """Another browser sends the same file."""

    def __init__(self) -> None:
        super().__init__(423, "Somebody else is sending this file at this moment.")
        self.headers = {"Retry-After": "1"}


async def place_of(connection: Connection, import_id: int, file_id: int) -> Place:
    """How far a file is; a 404 problem when there is none."""
    rows = await connection.execute(
        select(_import.c.association_id, _import.c.state, _file.c.size, _file.c.received)
        .join_from(_file, _import)
        .where(_file.c.id == file_id, _file.c.import_id == import_id)
    )
    row = rows.first()
    if row is None:
        raise not_found("file")
    return Place(*row)


async def take(
    runtime: Runtime, request: Request, import_id: int, file_id: int, offset: int
) -> int:
    """Take the piece that starts at `offset`; where the file goes on.

    What was there of a piece whose sender went away counts.
    """
    place = await _place(runtime, import_id, file_id, offset)
    if await asyncio.to_thread(runtime.pressure.against_images):
        raise ProblemError(507, "The disk is nearly full. Send again when there is more room.")
    most = min(runtime.settings.import_max_chunk, place.size - offset)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_long(runtime, place, offset)
    try:
        return await _write(runtime, request, import_id, file_id, offset, place, most)
    except BusyError:
        raise Locked from None
    except Retry as error:
        if error.reason is Reason.DISK_FULL:
            raise ProblemError(507, error.reason.in_words) from None
        # Its folder goes when the import is discarded.
        await _place(runtime, import_id, file_id, offset)
        raise


async def _place(runtime: Runtime, import_id: int, file_id: int, offset: int) -> Place:
    async with runtime.ledger.reading() as connection:
        place = await place_of(connection, import_id, file_id)
    require(place.state, ImportState.UPLOADING)
    if offset != place.received:
        raise WrongOffset(place.received)
    return place


def _too_long(runtime: Runtime, place: Place, offset: int) -> ProblemError:
    left = place.size - offset
    if left < runtime.settings.import_max_chunk:
        return ProblemError(413, f"The file was said to have {place.size} bytes: {left} are left.")
    return ProblemError(413, f"A piece has at most {runtime.settings.import_max_chunk} bytes.")


async def _write(
    runtime: Runtime,
    request: Request,
    import_id: int,
    file_id: int,
    offset: int,
    place: Place,
    most: int,
) -> int:
    """Write the piece, of `most` bytes; where it ends. It is synced and noted when this returns."""
    staging = runtime.spool.staging(place.association_id)
    writing = staging.appending(file_id, offset)
    file = await asyncio.to_thread(writing.__enter__)
    received = offset
    try:
        # Whoever had the file until now may have brought this piece.
        await _place(runtime, import_id, file_id, offset)
        await asyncio.to_thread(staging.cut, file, offset)
        async for piece in _pieces(request, runtime.settings.network_timeout):
            received += len(piece)
            if received - offset > most:
                raise _too_long(runtime, place, offset)
            await asyncio.to_thread(_put, file, piece)
        await asyncio.to_thread(staging.settle, file)
        # While nobody else may cut it off again.
        await _note(runtime, import_id, file_id, offset, received)
    finally:
        await asyncio.to_thread(writing.__exit__, None, None, None)
    return received


def _put(file: BinaryIO, piece: bytes) -> None:
    with disk_trouble():
        file.write(piece)


async def _pieces(request: Request, patience: float) -> AsyncIterator[bytes]:
    """The body in pieces that are worth a thread's time, as far as it comes."""
    stream, gathered = request.stream(), bytearray()
    try:
        while True:
            async with asyncio.timeout(patience):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            gathered += chunk
            if len(gathered) >= _PIECE:
                yield bytes(gathered)
                gathered.clear()
    except (ClientDisconnect, TimeoutError):
        pass  # what came until now is as good as a shorter piece
    if gathered:
        yield bytes(gathered)


async def _note(runtime: Runtime, import_id: int, file_id: int, offset: int, received: int) -> None:
    async with runtime.ledger.transaction() as connection:
        noted = await connection.scalar(
            update(_file)
            .where(_file.c.id == file_id, _file.c.received == offset)
            .values(received=received, changed_at=now())
            .returning(_file.c.id)
        )
        if noted is None:
            raise WrongOffset((await place_of(connection, import_id, file_id)).received)
