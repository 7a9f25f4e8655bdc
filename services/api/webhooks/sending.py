"""Sends to webhooks what they are still to be told, in the order in which it happened."""

import asyncio
import time

from services.api.webhooks.posting import post
from services.api.webhooks.queue import (
    PATIENCE,
    Due,
    Hook,
    claim,
    forget,
    give_up,
    give_up_all,
    postpone,
    put_back,
    taken,
    webhooks_due,
)
from shared import telemetry
from shared.clock import now
from shared.errors import StepError
from shared.identity import MasterKey
from shared.runtime import Runtime

log = telemetry.logger("webhooks")

_EVERY = 0.5  # seconds between looks
_AT_ONCE = 8  # webhooks; each is told one thing after the other
_BATCH = 10  # what one webhook is told in a row; well within the lease
_FORGET_EVERY = 3600.0  # seconds


class Sender:
    """One look after the other, until cancelled. Several replicas share the work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._master_key: MasterKey | None = None
        self._forget_at = 0.0

    async def run(self) -> None:
        """Send what is due, for ever."""
        try:
            while True:
                try:
                    await self.look()
                except StepError as error:
                    log.warning("webhooks later", reason=error.reason, exc_info=error)
                except Exception as error:  # a look that fails must not be the last one
                    log.error("looking for webhooks failed", exc_info=error)
                await asyncio.sleep(_EVERY)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def look(self) -> None:
        """Begin with what is due, as far as there is room.

        Raises
        ------
        Retry
            The database is away.
        """
        await self._forget_now_and_then()
        room = _AT_ONCE - len(self._busy)
        if room <= 0:
            return
        async with self._runtime.ledger.reading() as connection:
            found = await webhooks_due(connection, self._busy, room)
        for webhook_id in found:
            self._busy[webhook_id] = asyncio.create_task(self._tell(webhook_id))

    async def settle(self) -> None:
        """Wait until what was begun is done."""
        await asyncio.gather(*list(self._busy.values()))

    async def _tell(self, webhook_id: int) -> None:
        """Tell one webhook what is due, until there is no more or it does not take it."""
        try:
            if self._master_key is None:
                self._master_key = await self._runtime.load_master_key()
            while True:
                async with self._runtime.ledger.transaction() as connection:
                    hook, waiting = await claim(connection, webhook_id, _BATCH)
                if hook is None or not await self._tell_all(hook, waiting):
                    return
        except StepError as error:
            log.warning("webhook later", webhook=webhook_id, reason=error.reason, exc_info=error)
        except Exception as error:
            log.error("webhook failed", webhook=webhook_id, exc_info=error)
        finally:
            self._busy.pop(webhook_id, None)

    async def _tell_all(self, hook: Hook, waiting: list[Due]) -> bool:
        """Whether it has taken all, and there may be more."""
        for place, one in enumerate(waiting):
            if not await self._send(hook, one, waiting[place + 1 :]):
                return False
        return len(waiting) == _BATCH

    async def _send(self, hook: Hook, one: Due, others: list[Due]) -> bool:
        assert self._master_key is not None
        ledger = self._runtime.ledger
        posted = await post(self._runtime.settings, self._master_key, hook, one)
        if posted.taken:
            async with ledger.transaction() as connection:
                await taken(connection, one.id, posted.status)
            return True
        delays = self._runtime.settings.retry_delays
        delay = delays[min(one.attempts, len(delays) - 1)]
        over = one.created_at <= now() - PATIENCE
        about = {"webhook": hook.id, "delivery": one.id, "detail": posted.detail}
        async with ledger.transaction() as connection:
            if over:
                await give_up(connection, one.id, posted.status, posted.detail)
                await give_up_all(connection, hook.id, posted.detail, older=PATIENCE)
            else:
                await postpone(connection, one.id, posted.status, posted.detail, delay)
            # Whoever does not take this one is not asked to take the others at the same time.
            await put_back(connection, [other.id for other in others], delay)
        if over:
            log.error("webhook given up", **about)
        else:
            log.warning("webhook not taken", **about)
        return False

    async def _forget_now_and_then(self) -> None:
        if time.monotonic() < self._forget_at:
            return
        async with self._runtime.ledger.transaction() as connection:
            await forget(connection)
        self._forget_at = time.monotonic() + _FORGET_EVERY
