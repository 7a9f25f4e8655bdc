"""Does what imports wait for: reads what was sent, brings in what was accepted, sweeps the rest.

The ledger says what there is to do, so a crash loses nothing. A claim keeps two hosts from doing
the same; should they all the same, it does no harm.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import exists, select, update

from services.api.imports.bringing import bring
from services.api.imports.reading import read
from services.api.imports.service import discard, move
from services.api.problems import ProblemError
from shared import telemetry
from shared.clock import now
from shared.errors import Reason, Retry, StepError
from shared.ledger.auditing import Actor
from shared.ledger.states import IMPORT_ENDED, ImportState
from shared.ledger.tables import Import, ImportFile, core
from shared.runtime import Runtime

log = telemetry.logger("api")

ACTOR = Actor.SLUSE
"""Who discards what nobody goes on with, in the audit."""
_import, _file = core(Import), core(ImportFile)
_EVERY = 1.0  # seconds between looks for something to do
_SWEEP_EVERY = 60.0
_CLAIM = timedelta(seconds=60)
_RENEW = 20.0  # seconds
_LATER = timedelta(seconds=10)
_MOST_ATTEMPTS = 3
_GRACE = 3600.0  # age of folders that are looked at, seconds

Step = Callable[[Runtime, Import], Awaitable[None]]
_STEPS: dict[ImportState, Step] = {ImportState.READING: read, ImportState.BRINGING: bring}


class Worker:
    """Works until cancelled."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(self) -> None:
        """Do what there is to do, for ever."""
        await asyncio.gather(
            self._again(lambda: self.work(ImportState.READING), _EVERY),
            # Apart: who has accepted does not wait for another one's gigabytes.
            self._again(lambda: self.work(ImportState.BRINGING), _EVERY),
            self._again(self.sweep, _SWEEP_EVERY),
        )

    async def _again(self, what: Callable[[], Awaitable[object]], every: float) -> None:
        while True:
            try:
                await what()
            except StepError as error:
                log.warning("imports wait", reason=error.reason, exc_info=error)
            except Exception as error:  # a round that fails must not be the last one
                log.error("imports failed", exc_info=error)
            await asyncio.sleep(every)

    async def work(self, state: ImportState) -> int:
        """Do what the imports in `state` wait for; how many there were."""
        done = 0
        while (found := await self._claim(state)) is not None:
            async with self._claimed(found):
                await self._try(found, _STEPS[state])
            done += 1
        return done

    async def sweep(self) -> None:
        """Discard what was left lying, and remove folders that no import has any more."""
        await self._discard_abandoned()
        await self._remove_folders()

    async def _try(self, found: Import, step: Step) -> None:
        try:
            await step(self._runtime, found)
        except Retry as error:
            await self._later(found, error.reason)
            log.warning("import waits", imported=found.id, reason=error.reason)
        except Exception as error:
            await self._stumble(found)
            log.error("import failed", imported=found.id, exc_info=error)

    async def _claim(self, state: ImportState) -> Import | None:
        moment = now()
        free = _import.c.claimed_until.is_(None) | (_import.c.claimed_until < moment)
        async with self._runtime.ledger.reading() as connection:
            waiting = await connection.scalar(
                select(_import.c.id)
                .where(_import.c.state == state, free)
                .order_by(_import.c.changed_at)
                .limit(1)
            )
        if waiting is None:
            return None
        async with self._runtime.ledger.transaction() as connection:
            rows = await connection.execute(
                update(_import)
                .where(_import.c.id == waiting, _import.c.state == state, free)
                .values(claimed_until=moment + _CLAIM)
                .returning(_import)
            )
            row = rows.mappings().first()
        return None if row is None else Import.model_validate(dict(row))

    @asynccontextmanager
    async def _claimed(self, found: Import) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(found))
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self, found: Import) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            try:
                async with self._runtime.ledger.transaction() as connection:
                    await connection.execute(
                        update(_import)
                        .where(_import.c.id == found.id, _import.c.state == found.state)
                        .values(claimed_until=now() + _CLAIM)
                    )
            except Retry as error:
                log.warning("claim not renewed", imported=found.id, reason=error.reason)

    async def _later(self, found: Import, reason: Reason) -> None:
        async with self._runtime.ledger.transaction() as connection:
            await connection.execute(
                update(_import)
                .where(_import.c.id == found.id, _import.c.state == found.state)
                .values(reason=reason, claimed_until=now() + _LATER)
            )

    async def _stumble(self, found: Import) -> None:
        """Try once more later; what can't be read after several times has failed."""
        assert found.id is not None
        attempts = found.attempts + 1
        async with self._runtime.ledger.transaction() as connection:
            if attempts >= _MOST_ATTEMPTS and found.state == ImportState.READING:
                await move(connection, found.id, ImportState.FAILED, reason=Reason.GAVE_UP)
                return
            await connection.execute(
                update(_import)
                .where(_import.c.id == found.id, _import.c.state == found.state)
                .values(attempts=attempts, reason=Reason.UNEXPECTED, claimed_until=now() + _LATER)
            )

    async def _discard_abandoned(self) -> None:
        limit = now() - timedelta(seconds=self._runtime.settings.import_keep)
        waiting = (ImportState.UPLOADING, ImportState.REVIEW, ImportState.FAILED)
        fresh = exists().where(_file.c.import_id == _import.c.id, _file.c.changed_at >= limit)
        async with self._runtime.ledger.reading() as connection:
            ids = await connection.scalars(
                select(_import.c.id).where(
                    _import.c.state.in_(waiting), _import.c.changed_at < limit, ~fresh
                )
            )
        for import_id in ids.all():
            try:
                async with self._runtime.ledger.transaction() as connection:
                    found = await discard(connection, import_id, actor=ACTOR)
            except ProblemError:
                continue  # somebody has gone on with it just now
            if found is not None:
                staging = self._runtime.spool.staging(found.association_id)
                await asyncio.to_thread(staging.remove)
            log.info("abandoned import discarded", imported=import_id)

    async def _remove_folders(self) -> None:
        """Remove what a crash has left; a folder is made a moment before its import."""
        spool = self._runtime.spool
        folders = await asyncio.to_thread(spool.staged, time.time() - _GRACE)
        async with self._runtime.ledger.reading() as connection:
            alive = set(
                await connection.scalars(
                    select(_import.c.association_id).where(_import.c.state.not_in(IMPORT_ENDED))
                )
            )
        for one in set(folders) - alive:
            await asyncio.to_thread(spool.staging(one).remove)
