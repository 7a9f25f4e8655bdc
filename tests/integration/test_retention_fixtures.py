"""What the tests of retention share: a world whose clock can be turned, and the sweeper."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from services.api.app import create_app
from services.classifier.retention import Retention
from shared.clock import now
from shared.ledger.keeping import Rules
from shared.ledger.tables import Instance, Study, Transfer, core
from shared.runtime import Runtime
from shared.spool import Spool
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api
from tests.integration.test_life_fixtures import World
from tests.line import Line, requested


class Shelf(World):
    """Studies that grow old, and what removes their files."""

    async def keep(self, code: str = "AAA", *, originals: int | None, copies: int | None) -> None:
        """Have a project keep its files so many days."""
        body = {"keep_originals_days": originals, "keep_copies_days": copies}
        await self.api("PATCH", f"/projects/{code}", 200, body)

    async def deliver(self, project: str = "AAA", study: int = 1) -> int:
        """A transfer that is complete; its id."""
        transfer = await self.assign(project, study)
        await self.line.run(*requested([transfer]))
        assert (await self.read(transfer))["state"] == "complete"
        await self.settle()
        return transfer

    async def settle(self) -> None:
        """Nothing more comes of any study."""
        await self._set(Study, settled_at=now())

    async def age(self, days: float) -> None:
        """Let time go by, for everything that is here."""
        by = timedelta(days=days)
        async with self.runtime.ledger.transaction() as connection:
            for table, name in (
                (core(Study), "last_received_at"), (core(Study), "promised_at"),
                (core(Transfer), "changed_at"),
            ):  # fmt: skip
                found = await connection.execute(select(table.c.id, table.c[name]))
                for row_id, moment in found.all():
                    if moment is not None:
                        await connection.execute(
                            update(table).where(table.c.id == row_id).values({name: moment - by})
                        )

    def sweeper(self, spool: Spool | None = None, **settings: Any) -> Retention:
        """As after a start."""
        runtime = self.runtime
        changed = runtime.settings.model_copy(update=settings)
        return Retention(changed, runtime.ledger, spool or runtime.spool)

    async def sweep(self, **settings: Any) -> None:
        await self.sweeper(**settings).sweep()

    def files(self, where: str) -> list[str]:
        """Images in a folder of the spool."""
        root = self.runtime.settings.spool_path / where
        return sorted(str(one.relative_to(root)) for one in root.rglob("*.dcm"))

    async def keeping(self, study: int = 1) -> list[str]:
        """Where the ledger says that a study's originals are."""
        found = await rows(self.runtime, Instance)
        from_study = {one["id"] for one in await self.series(study)}
        return [one.keeping for one in found if one.series_id in from_study]

    async def series(self, study: int = 1) -> list[Any]:
        return list((await self.api("GET", f"/studies/{study}/series", 200))["items"])

    async def _set(self, model: Any, **values: Any) -> None:
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(update(core(model)).values(values))

    @property
    def rules(self) -> Rules:
        return Rules.of(self.runtime.settings)


@pytest.fixture
async def shelf(any_runtime: Runtime) -> AsyncIterator[Shelf]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        made = Shelf(
            any_runtime, Api(client), Line(any_runtime, await any_runtime.load_master_key())
        )
        await made.set_up()
        yield made
