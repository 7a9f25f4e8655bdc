"""What the tests of a transfer's life share: a study, two projects and the services."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from services.api.app import create_app
from services.forwarder.outcome import Answer, Verdict
from shared.events import InstanceReceived
from shared.ledger.tables import (
    AuditEvent,
)
from shared.runtime import Runtime
from tests.helpers import arrive, rows
from tests.integration.test_api_fixtures import Api
from tests.line import Line

IMAGES = 3


class Everywhere:
    """Destinations that take everything."""

    async def send(self, work: list[Any]) -> list[Any]:
        return [(one, Answer(Verdict.DONE)) for one in work]


class World:
    """A study here, projects A and B, and the services."""

    def __init__(self, runtime: Runtime, api: Api, line: Line) -> None:
        self.runtime, self.api, self.line = runtime, api, line
        line.destinations = Everywhere()

    async def set_up(self) -> None:
        destination = {
            "name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104,
            "verification": "none",
        }  # fmt: skip
        await self.api("POST", "/destinations", 201, destination)
        for code in ("AAA", "BBB"):
            body = {
                "code": code, "participant_pattern": f"{code}_{{n:2}}", "events": ["v1", "v2"],
                "destination_id": 1,
            }  # fmt: skip
            await self.api("POST", "/projects", 201, body)
        await self.study()

    async def study(self, seed: int = 7, images: int = IMAGES, **arriving: Any) -> str:
        """A study arrives; its patient id."""
        made = Maker(seed, size=16).ct(images).instances
        keys = arrive(self.runtime, made, **arriving)
        await self.line.run(InstanceReceived(keys=tuple(keys)))
        return str(made[0].PatientID)

    async def assign(self, project: str = "AAA", study: int = 1, **body: Any) -> int:
        """Ask for a transfer; its id."""
        asked = {"study_id": study, "project": project, "event": "v1"} | body
        return int((await self.api("POST", "/transfers", 201, asked))["id"])

    async def read(self, transfer: int) -> Any:
        return await self.api("GET", f"/transfers/{transfer}", 200)

    async def correct(self, transfer: int, **body: Any) -> Any:
        return (await self.api("POST", f"/transfers/{transfer}/correct", 201, body))["transfer"]

    async def audited(self) -> list[tuple[str, dict[str, Any]]]:
        return [(one.action, one.subject) for one in await rows(self.runtime, AuditEvent)]


@pytest.fixture
async def world(any_runtime: Runtime) -> AsyncIterator[World]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        made = World(
            any_runtime, Api(client), Line(any_runtime, await any_runtime.load_master_key())
        )
        await made.set_up()
        yield made


async def second(world: World) -> int:
    """A second study arrives; its id."""
    await world.study(seed=11)
    return 2
