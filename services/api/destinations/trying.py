"""Tries whether a destination answers."""

import asyncio
import time

import httpx

from services.api.destinations.schemas import Echo
from shared import dicomweb
from shared.credentials import CredentialsError
from shared.dimse.requestor import NotOpenedError, echo
from shared.dimse.tls import TlsError, client_context
from shared.ledger.states import Protocol
from shared.ledger.tables import Destination
from shared.settings import Settings


async def try_out(settings: Settings, destination: Destination) -> Echo:
    """Knock where images go, as they do: C-ECHO, or a search for one study; what came of it."""
    began = time.perf_counter()
    knock = _search if destination.protocol == Protocol.DICOMWEB else _echo
    try:
        detail = await knock(settings, destination)
        answers = not detail
    except (NotOpenedError, TlsError, CredentialsError) as error:
        answers, detail = False, str(error)
    took = round((time.perf_counter() - began) * 1000)
    return Echo(answers=answers, detail=detail or "It answers.", milliseconds=took)


async def _echo(settings: Settings, destination: Destination) -> str:
    """What is wrong with the answer; empty when nothing is."""
    status = await asyncio.to_thread(
        echo,
        (destination.host or "", destination.port or 0),
        (destination.calling_aet or settings.ae_title, destination.ae_title or ""),
        settings.network_timeout,
        client_context(settings, destination.credentials) if destination.tls else None,
    )
    return f"It answers with status {status:04X}." if status else ""


async def _search(settings: Settings, destination: Destination) -> str:
    """The same over DICOMweb (PS3.18 10.6)."""
    try:
        async with (
            dicomweb.async_client(settings, destination.url, destination.credentials) as client,
            client.stream(
                "GET", "/studies", params={"limit": "1"}, headers={"Accept": dicomweb.JSON}
            ) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer: {type(error).__name__}"
    return "" if status in (200, 204) else f"It answers with HTTP {status}."
