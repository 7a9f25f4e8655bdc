"""Notes who was not let in, so that a person can see it and let them in.

A flood of refusals must not become a flood of the ledger: they are counted here, and written some
at a time.
"""

import asyncio
import threading
from collections import Counter
from typing import NamedTuple

from sqlalchemy import delete, select

from services.receiver.acse import Caller, Rejection
from shared import telemetry
from shared.clock import now
from shared.errors import Retry
from shared.identity import printable_title
from shared.ledger import Ledger
from shared.ledger.tables import Refusal, core
from shared.ledger.writing import insert_or

log = telemetry.logger("receiver")

_AT_ONCE = 500  # different ones in one writing; more are only logged
_KEPT = 2000  # rows in the ledger
_EVERY = 2.0  # seconds
_refusal = core(Refusal)


class _Kind(NamedTuple):
    calling_aet: str
    called_aet: str
    peer_address: str
    reason: str


class Refusals:
    """Collects what the associations' threads report, and writes it to the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._counted: Counter[_Kind] = Counter()

    def add(self, caller: Caller, rejection: Rejection) -> None:
        """Report a refusal; any thread."""
        kind = _Kind(
            printable_title(caller.calling_aet),
            printable_title(caller.called_aet),
            caller.address[:64],
            rejection.outcome,
        )
        with self._lock:
            if kind in self._counted or len(self._counted) < _AT_ONCE:
                self._counted[kind] += 1

    async def write(self) -> None:
        """Write what was reported; what can't be written is kept for the next time.

        Raises
        ------
        Retry
            The database is away.
        """
        with self._lock:
            counted, self._counted = self._counted, Counter()
        if not counted:
            return
        try:
            await self._write(counted)
        except BaseException:
            with self._lock:
                self._counted.update(counted)
            raise

    async def keep_writing(self) -> None:
        """Write every other second, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.write()
            except Retry as error:
                log.warning("refusals not noted yet", reason=error.reason)
            except Exception as error:  # a writing that fails must not be the last one
                log.error("refusals not noted", exc_info=error)

    async def _write(self, counted: Counter[_Kind]) -> None:
        moment = now()
        async with self._ledger.transaction() as connection:
            statement = insert_or(connection, _refusal)
            statement = statement.on_conflict_do_update(
                index_elements=["calling_aet", "called_aet", "peer_address", "reason"],
                set_={
                    "times": _refusal.c.times + statement.excluded.times,
                    "last_at": statement.excluded.last_at,
                },
            )
            await connection.execute(
                statement,
                [
                    one._asdict() | {"times": times, "first_at": moment, "last_at": moment}
                    for one, times in sorted(counted.items())
                ],
            )
            last = (
                select(_refusal.c.id)
                .order_by(_refusal.c.last_at.desc(), _refusal.c.id.desc())
                .offset(_KEPT)
            )
            await connection.execute(delete(_refusal).where(_refusal.c.id.in_(last)))
