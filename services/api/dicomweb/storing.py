"""Takes one STOW-RS request (PS3.18 section 10.5) from its body to its answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import select
from starlette.requests import ClientDisconnect, Request

from services.api.dicomweb import media
from services.api.dicomweb.intake import Intake
from services.api.dicomweb.outcomes import Outcomes
from services.api.dicomweb.parts import BrokenError, Parts
from services.api.dicomweb.rights import may_store_for
from services.api.nudging import nudge
from services.api.problems import ProblemError
from shared.announcing import received_events
from shared.clock import now
from shared.events import BATCH, AssociationClosed
from shared.identity import is_usable_uid
from shared.ledger import Connection
from shared.ledger.tables import WithdrawnStudy, core
from shared.pressure import Because
from shared.runtime import Runtime
from shared.spool import Association

CALLING = "STOW"
"""The calling AE title of what comes over DICOMweb: HTTP names none."""
_PIECE = 1 << 20  # bytes that are handed to a thread at once
_NOTHING = "There are no instances in this request, or it is no multipart/related body."
_TOO_LARGE = "The request, or an instance in it, is too large."
_NOT_NOW = {
    Because.DISK: "The disk is nearly full. Try again later.",
    Because.BACKLOG: "Too many images wait to be worked off. Try again later.",
}


@dataclass
class _Length:
    """How much of a body has been read."""

    most: int
    read: int = 0


async def store(
    runtime: Runtime, request: Request, study: str | None, title: str | None
) -> Outcomes:
    """Take what a request brings.

    Parameters
    ----------
    study
        The study that the URL names, if it does.
    title
        The AE title that it addresses, if it does.
    """
    boundary = _boundary(request)
    if study is not None and not is_usable_uid(study):
        raise ProblemError(400, "The URL names no UID: only digits and dots, at most 64.")
    settings = runtime.settings
    against = await asyncio.to_thread(runtime.pressure.against_senders)
    if against is not None:
        raise ProblemError(503, _NOT_NOW[against])
    if _announced(request) > settings.stow_max_request:
        raise ProblemError(413, _TOO_LARGE)
    async with runtime.ledger.reading() as connection:
        if title is not None and not await may_store_for(request, connection, settings, title):
            raise ProblemError(404, "Nobody here has this AE title.")
        withdrawn = await _withdrawn(connection)
    sender = Association(
        calling_aet=CALLING,
        called_aet=title or settings.ae_title,
        peer_address=request.client.host if request.client else "",
        opened_at=now(),
    )
    intake = Intake(settings, runtime.spool, runtime.pressure, sender, study, withdrawn)
    try:
        parts = Parts(boundary, intake)
    except BrokenError:
        raise ProblemError(400, "The boundary is missing, or too long.") from None
    await _take(runtime, request, intake, parts)
    return _checked(intake.outcomes)


def _boundary(request: Request) -> str:
    kind = media.parse(request.headers.get("content-type", ""))
    root = kind.parameters.get("type", media.DICOM).lower()
    if kind.name != media.MULTIPART or root != media.DICOM:
        raise ProblemError(
            415, 'Send multipart/related; type="application/dicom": instances as PS3.10 files.'
        )
    return kind.parameters.get("boundary", "")


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _checked(outcomes: Outcomes) -> Outcomes:
    """The outcomes that are answered with their data set; the others are problems."""
    status = outcomes.status
    if status == 503:
        raise ProblemError(503, "The disk is full. Try again later.")
    if status == 413:
        raise ProblemError(413, _TOO_LARGE)
    if status == 400:
        raise ProblemError(400, _NOTHING)
    return outcomes


async def _take(runtime: Runtime, request: Request, intake: Intake, parts: Parts) -> None:
    completed = False
    length = _Length(runtime.settings.stow_max_request)
    try:
        async for piece in _pieces(request, runtime.settings.network_timeout, length):
            await asyncio.to_thread(parts.feed, piece)
            await _announce(runtime, intake, BATCH)
        if length.read > length.most:
            await asyncio.to_thread(intake.exceed)
        else:
            parts.finish()
            completed = True
    except (BrokenError, ClientDisconnect, TimeoutError):
        await asyncio.to_thread(intake.break_off)
    finally:
        # What stands in the inbox is answered for in any case; nothing of it gets lost.
        brought = await asyncio.to_thread(intake.close, completed=completed)
    if brought:
        await _announce(runtime, intake, 1)
        closed = AssociationClosed(association_id=intake.id)
        await nudge(runtime, [closed], correlation_id=intake.id)


async def _pieces(request: Request, patience: float, length: _Length) -> AsyncIterator[bytes]:
    """The body, gathered into pieces that are worth a thread's time."""
    stream = request.stream()
    gathered = bytearray()
    while True:
        async with asyncio.timeout(patience):
            chunk = await anext(stream, None)
        if chunk is None or length.read > length.most:
            break
        gathered += chunk
        length.read += len(chunk)
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


async def _announce(runtime: Runtime, intake: Intake, at_least: int) -> None:
    if len(intake.unannounced) < at_least:
        return
    keys, intake.unannounced = intake.unannounced, []
    events = await asyncio.to_thread(received_events, runtime.spool, keys)
    await nudge(runtime, events, correlation_id=intake.id)


async def _withdrawn(connection: Connection) -> frozenset[str]:
    """The studies that no project may take again."""
    table = core(WithdrawnStudy)
    query = select(table.c.study_instance_uid).where(table.c.project_id.is_(None))
    return frozenset(await connection.scalars(query))
