"""Tries whether a destination answers."""

import asyncio
import time

from services.api.destinations.schemas import Echo
from shared.dimse.requestor import NotOpenedError, echo
from shared.dimse.tls import TlsError, client_context
from shared.ledger.tables import Destination
from shared.settings import Settings


async def try_out(settings: Settings, destination: Destination) -> Echo:
    """Send a C-ECHO over an association like those that images go over; what came of it."""
    began = time.perf_counter()
    try:
        status = await asyncio.to_thread(
            echo,
            (destination.host, destination.port),
            (destination.calling_aet or settings.ae_title, destination.ae_title),
            settings.network_timeout,
            client_context(settings) if destination.tls else None,
        )
        detail = f"It answers with status {status:04X}." if status else "It answers."
    except (NotOpenedError, TlsError) as error:
        status, detail = -1, str(error)
    took = round((time.perf_counter() - began) * 1000)
    return Echo(answers=status == 0, detail=detail, milliseconds=took)
