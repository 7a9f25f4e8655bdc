"""Notices when a study is complete, as far as can be known: its associations have closed, and
nothing came for a while. What comes later reopens it (`catalogue`).
"""

import asyncio
from datetime import timedelta

from sqlalchemy import exists, select, update

from shared import telemetry
from shared.bus import Bus
from shared.clock import now
from shared.errors import StepError
from shared.events import StudySettled
from shared.ledger import Ledger
from shared.ledger.tables import Association, Study, StudyAssociation, core
from shared.ledger.telling import tell_of_settled
from shared.settings import Settings

log = telemetry.logger("settling")

_AT_MOST = 1000
_study, _association, _bringer = core(Study), core(Association), core(StudyAssociation)


class Settling:
    """One look after the other, until cancelled."""

    def __init__(self, settings: Settings, bus: Bus, ledger: Ledger) -> None:
        self._settings, self._bus, self._ledger = settings, bus, ledger

    async def run(self) -> None:
        """Look for ever, several times within the quiet time."""
        while True:
            try:
                await self.look()
            except StepError as error:
                log.warning("settling later", reason=error.reason, exc_info=error)
            except Exception as error:  # a look that fails must not be the last one
                log.error("settling failed", exc_info=error)
            await asyncio.sleep(min(1.0, self._settings.settle_after / 3))

    async def look(self) -> None:
        """Settle every study that has been quiet for long enough.

        Raises
        ------
        Retry
            Database or broker are away.
        """
        quiet = now() - timedelta(seconds=self._settings.settle_after)
        # An association that nobody closed, its receiver having died, keeps no study open for ever.
        forgotten = now() - timedelta(seconds=self._settings.settle_at_last)
        still_open = exists().where(
            _bringer.c.study_id == _study.c.id,
            _association.c.id == _bringer.c.association_id,
            _association.c.closed_at.is_(None),
        )
        wanted = (
            select(_study.c.id)
            .where(
                _study.c.settled_at.is_(None),
                _study.c.last_received_at <= quiet,
                ~still_open | (_study.c.last_received_at <= forgotten),
            )
            .order_by(_study.c.last_received_at)
            .limit(_AT_MOST)
        )
        async with self._ledger.transaction() as connection:
            settled = await connection.scalars(
                update(_study)
                .where(
                    _study.c.id.in_(wanted),
                    # Something may have arrived while this waited for the row.
                    _study.c.last_received_at <= quiet,
                )
                .values(settled_at=now())
                .returning(_study.c.id)
            )
            events = [StudySettled(study_id=study_id) for study_id in sorted(settled)]
            await tell_of_settled(connection, [event.study_id for event in events])
        if events:
            await self._bus.publish(events, producer="classifier", correlation_id="settling")
            log.info("settled", studies=[event.study_id for event in events])
