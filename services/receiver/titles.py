"""The AE titles that Sluse answers to: its own, one per active project, and those of the rules."""

import asyncio

from sqlalchemy import select

from shared import telemetry
from shared.errors import Retry
from shared.ledger import Ledger
from shared.ledger.states import ProjectState
from shared.ledger.tables import Project, RoutingRule, core

log = telemetry.logger("receiver")


class CalledTitles:
    """Kept up to date from the ledger; read by the associations' threads."""

    def __init__(self, own: str, ledger: Ledger) -> None:
        self._own, self._ledger = own, ledger
        self._titles = frozenset({own})

    def __contains__(self, title: str) -> bool:
        return title in self._titles

    async def refresh(self) -> None:
        """Read the titles from the ledger.

        Raises
        ------
        Retry
            The database is away.
        """
        project, rule = core(Project), core(RoutingRule)
        async with self._ledger.reading() as connection:
            projects = await connection.scalars(
                select(project.c.code).where(project.c.state == ProjectState.ACTIVE)
            )
            rules = await connection.scalars(
                select(rule.c.called_aet).where(rule.c.enabled, rule.c.called_aet.is_not(None))
            )
            self._titles = frozenset({self._own, *projects, *rules})

    async def keep_fresh(self, every: float) -> None:
        """Refresh every `every` seconds, for ever; without the database the last titles stay."""
        while True:
            try:
                await self.refresh()
            except Retry as error:
                log.warning("AE titles not refreshed", reason=error.reason)
            await asyncio.sleep(every)
