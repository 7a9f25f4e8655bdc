"""Deletes previews whose hour is over, whether or not anybody asks for another."""

import asyncio

from services.api.profile_previews.service import forget_old
from shared import telemetry
from shared.errors import StepError
from shared.runtime import Runtime

log = telemetry.logger("api")

_EVERY = 60.0  # seconds


async def sweep(runtime: Runtime) -> None:
    """Delete old previews for ever."""
    while True:
        try:
            async with runtime.ledger.transaction() as connection:
                await forget_old(connection)
        except StepError as error:
            log.warning("previews wait to be deleted", reason=error.reason)
        except Exception as error:  # a round that fails must not be the last one
            log.error("previews were not deleted", exc_info=error)
        await asyncio.sleep(_EVERY)
