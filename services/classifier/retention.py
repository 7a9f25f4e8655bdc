"""Removes from the spool what need not be kept any longer (docs/retention.md).

Looks through the ledger in the order of its rows, some at a time: nothing needs to be remembered
that a crash could lose, and nothing that changes a project's or a study's time needs to say so
here. One process at a time takes a step; each step is a transaction of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import exists, select

from shared import telemetry
from shared.clock import now
from shared.errors import StepError
from shared.ledger import Connection, Ledger
from shared.ledger.auditing import Action, Actor, audit
from shared.ledger.evicting import (
    Removed,
    note_copies,
    note_originals,
    remove_copies,
    remove_originals,
)
from shared.ledger.keeping import Rules, copies_go_at, facts_of, originals_go_at
from shared.ledger.leading import leads
from shared.ledger.states import ENDED, TransferState
from shared.ledger.tables import Project, Study, Transfer, core
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("retention")

LOOKED_AT = 500
"""Studies or transfers that one step looks at."""
AT_ONCE = 1000
"""Files that one step removes."""
_BREATH = 0.01  # seconds between steps, for others who want the database

_study, _transfer, _project = core(Study), core(Transfer), core(Project)
_OVER = [TransferState.COMPLETE, *sorted(ENDED)]


class Retention:
    """One round after the other, until cancelled."""

    def __init__(self, settings: Settings, ledger: Ledger, spool: Spool) -> None:
        self._every = settings.retention_every
        self._rules = Rules.of(settings)
        self._ledger, self._spool = ledger, spool

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except StepError as error:
                log.warning("removing later", reason=error.reason)
            except Exception as error:  # a round that fails must not be the last one
                log.error("removing failed", exc_info=error)
            await asyncio.sleep(self._every)

    async def sweep(self) -> None:
        """One round: finish what was begun, then remove everything whose time is over.

        Raises
        ------
        Retry
            Database or disk are away.
        """
        began = time.monotonic()
        await self._remove_all()
        if await self._anything_ends():
            await self._originals()
        await self._copies()
        telemetry.RETENTION_SECONDS.set(time.monotonic() - began)
        telemetry.RETENTION_ROUND.set_to_current_time()

    async def _originals(self) -> None:
        last: int | None = 0
        while last is not None:
            last, due = await self._next_studies(last)
            for study_id in due:
                note = partial(
                    note_originals,
                    study_id=study_id,
                    rules=self._rules,
                    moment=now(),
                    limit=AT_ONCE,
                )
                await self._evict("originals", note, study=study_id)
            await asyncio.sleep(_BREATH)

    async def _copies(self) -> None:
        last: int | None = 0
        while last is not None:
            last, due = await self._next_transfers(last)
            for study_id, transfer_id in due:
                note = partial(
                    note_copies,
                    study_id=study_id,
                    transfer_id=transfer_id,
                    moment=now(),
                    limit=AT_ONCE,
                )
                await self._evict("copies", note, study=study_id, transfer=transfer_id)
            await asyncio.sleep(_BREATH)

    async def _anything_ends(self) -> bool:
        """Whether originals are removed at all: where everything is kept, nothing is looked at."""
        if self._rules.unassigned_days is not None:
            return True
        async with self._ledger.reading() as connection:
            some = exists().where(_project.c.keep_originals_days.is_not(None)).select()
            return bool(await connection.scalar(some))

    async def _next_studies(self, after: int) -> tuple[int | None, list[int]]:
        """The last of the next studies, None where there are none; and those whose time is over."""
        moment = now()
        async with self._ledger.reading() as connection:
            rows = await connection.scalars(
                select(_study.c.id)
                .where(_study.c.evicted < _study.c.instances, _study.c.id > after)
                .order_by(_study.c.id)
                .limit(LOOKED_AT)
            )
            ids = list(rows)
            facts = await facts_of(connection, ids)
        goes = [(one.id, originals_go_at(one, self._rules)) for one in facts]
        return (ids[-1] if ids else None), [one for one, at in goes if at and at <= moment]

    async def _next_transfers(self, after: int) -> tuple[int | None, list[tuple[int, int]]]:
        """The same of transfers and their copies: (study id, transfer id)."""
        moment = now()
        async with self._ledger.reading() as connection:
            rows = await connection.execute(
                select(_transfer.c.id, _transfer.c.study_id)
                .where(
                    _transfer.c.copies_evicted_at.is_(None),
                    _transfer.c.id > after,
                    _transfer.c.state.in_(_OVER),
                )
                .order_by(_transfer.c.id)
                .limit(LOOKED_AT)
            )
            wanted = {row.id: row.study_id for row in rows}
            facts = await facts_of(connection, set(wanted.values()))
        goes = [
            (study.id, one.id, copies_go_at(study, one))
            for study in facts
            for one in study.transfers
            if one.id in wanted
        ]
        last = max(wanted, default=None)
        return last, [(study, one) for study, one, at in goes if at and at <= moment]

    async def _evict(
        self, kind: str, note: Callable[[Connection], Awaitable[int]], **about: int
    ) -> None:
        """Note and remove a study's or a transfer's files, some at a time, until none is left."""
        total = 0
        while True:
            async with self._ledger.transaction() as connection:
                noted = await note(connection) if await leads(connection, "retention") else 0
            if not noted:
                break
            total += await self._remove(kind)
        if total:
            log.info("removed", kind=kind, files=total, **about)
            async with self._ledger.transaction() as connection:
                await audit(
                    connection, Action.FILES_REMOVED, actor=Actor.SLUSE,
                    kind=kind, files=total, **about,
                )  # fmt: skip

    async def _remove_all(self) -> None:
        """Finish what somebody has begun who was stopped."""
        for kind in ("originals", "copies"):
            await self._remove(kind)

    async def _remove(self, kind: str) -> int:
        """Remove what is about to go; how many files went."""
        total = 0
        while (removed := await self._remove_some(kind)) is not None:
            telemetry.EVICTED_FILES.labels(kind).inc(removed.files)
            telemetry.EVICTED_BYTES.labels(kind).inc(removed.bytes)
            total += removed.files
            if removed.kept:
                log.info("kept after all", kind=kind, files=removed.kept)
            await asyncio.sleep(_BREATH)
        return total

    async def _remove_some(self, kind: str) -> Removed | None:
        async with self._ledger.transaction() as connection:
            if not await leads(connection, "retention"):
                return None
            if kind == "originals":
                return await remove_originals(connection, self._spool, self._rules, now(), AT_ONCE)
            return await remove_copies(connection, self._spool, now(), AT_ONCE)
