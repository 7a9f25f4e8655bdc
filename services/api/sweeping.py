"""Deletes what is kept for a time only, whether or not anybody asks for it again."""

import asyncio

from services.api import repeating
from services.api.profile_previews.service import forget_old
from shared import telemetry
from shared.errors import StepError
from shared.runtime import Runtime

log = telemetry.logger("api")

_EVERY = 60.0  # seconds


async def sweep(runtime: Runtime) -> None:
    """Delete old previews, and old answers to requests with keys, for ever."""
    while True:
        try:
            async with runtime.ledger.transaction() as connection:
                await forget_old(connection)
                await repeating.sweep(connection)
        except StepError as error:
            log.warning("what is old waits to be deleted", reason=error.reason)
        except Exception as error:  # a round that fails must not be the last one
            log.error("what is old was not deleted", exc_info=error)
        await asyncio.sleep(_EVERY)
