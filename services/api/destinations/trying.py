"""Tries whether a destination answers."""

import asyncio
import time
from dataclasses import fields

from services.api.destinations.schemas import Echo
from shared.dimse.scu import Archive, RefusedError, echo
from shared.errors import Retry
from shared.ledger.tables import Destination
from shared.settings import Settings


async def try_out(settings: Settings, destination: Destination) -> Echo:
    """Send a C-ECHO; what came of it, in words."""
    archive = Archive(*(getattr(destination, one.name) for one in fields(Archive)))
    began = time.perf_counter()
    try:
        status = await asyncio.to_thread(echo, settings, archive)
    except (Retry, RefusedError) as error:
        detail = error.detail if isinstance(error, Retry) else str(error)
        return Echo(answers=False, detail=detail, milliseconds=_since(began))
    detail = "It answers." if status == 0 else f"It answers with status {status:04X}."
    return Echo(answers=status == 0, detail=detail, milliseconds=_since(began))


def _since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
