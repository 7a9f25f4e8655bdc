"""What the tests of the API share: a client, and the requests that they begin with."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from services.api.app import create_app
from services.classifier.consumer import TransferConsumer
from shared.events import InstanceReceived, TransferRequested
from shared.runtime import Runtime
from tests.helpers import arrive, handle, received_consumer

DESTINATION = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
PROJECT = {
    "code": "BICAM", "number": "P20_01", "title": "Ærlig prosjekt", "rek_number": "2019/1",
    "rek_start": "2020-01-01", "rek_end": "2030-01-01", "participant_pattern": "BICAM_[0-9]{3}",
    "events": ["v1", "v2"], "sites": ["Førde"], "date_shift_days": 7,
}  # fmt: skip
RULE = {
    "name": "trusted", "called_aet": "BICAM", "patient_id_pattern": "BICAM_", "project": "BICAM",
    "event": "v1",
}  # fmt: skip
TRANSFER = {"project": "BICAM", "participant": "BICAM_001", "event": "v1", "site": "Førde"}


class Api:
    """Calls the API and checks the form of its errors."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __call__(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer = await self.client.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        return answer.json() if answer.content else None

    async def refused(self, path: str, body: Any, *fields: str, method: str = "POST") -> None:
        problem = await self(method, path, 422, body)
        assert {error["field"] for error in problem["errors"]} == set(fields)


@pytest.fixture
async def client(any_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


@pytest.fixture
def api(client: httpx.AsyncClient) -> Api:
    return Api(client)


async def receive(runtime: Runtime, files: list[Any]) -> None:
    """Let files arrive and be catalogued."""
    received = received_consumer(runtime)
    await handle(received, InstanceReceived(keys=tuple(arrive(runtime, files))))


async def study(runtime: Runtime, slices: int = 2) -> str:
    """Let a study arrive; its UID."""
    instances = Maker(1, size=16).ct(slices).instances
    await receive(runtime, list(instances))
    return str(instances[0].StudyInstanceUID)


async def assign(runtime: Runtime, transfer_id: int) -> None:
    """Let the instances of a requested transfer be assigned."""
    consumer = TransferConsumer(runtime.settings, runtime.ledger)
    await handle(consumer, TransferRequested(transfer_id=transfer_id))


async def running_transfer(runtime: Runtime, api: Api, slices: int = 2) -> Any:
    """A study on its way into a project, as the API reads it."""
    uid = await study(runtime, slices)
    await api("POST", "/projects", 201, PROJECT)
    made = await api("POST", "/transfers", 201, TRANSFER | {"study_instance_uid": uid})
    await assign(runtime, made["id"])
    return await api("GET", f"/transfers/{made['id']}", 200)
