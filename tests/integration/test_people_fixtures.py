"""What the tests of people share: two projects, people in every role, and browsers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from services.api.accounts import hashing
from services.api.app import create_app
from shared.runtime import Runtime
from tests.integration.test_api_fixtures import Api, receive

PASSWORD = "correct horse battery"
CALLED = "SLUSE"
ROLES = ("owner", "data-manager", "data-entry", "viewer")


@pytest.fixture(autouse=True)
def _fast_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        hashing, "_hasher", hashing.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )


class World:
    """Two projects, and people in every role of the first."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.app = create_app(runtime)
        self.clients: list[httpx.AsyncClient] = []

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        made = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
        self.clients.append(made)
        return made

    async def set_up(self) -> None:
        here = Api(self.client())
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
        await here("POST", "/destinations", 201, destination)
        for code in ("AAA", "BBB"):
            project = {"code": code, "destination_id": 1, "participant_pattern": "[A-Z]_?[0-9]"}
            await here("POST", "/projects", 201, project)
        await here("POST", "/accounts", 201, account("root", "administrator"))
        self.root = Api(await self.signed_in("root"))
        for role in ROLES:
            await self.root("POST", "/accounts", 201, account(role))
            await self.root("PUT", f"/projects/AAA/members/{role}", 200, {"role": role})
        await self.root("POST", "/accounts", 201, account("operator", "operator"))
        await self.root("POST", "/accounts", 201, account("nobody"))

    async def signed_in(self, username: str, password: str = PASSWORD) -> httpx.AsyncClient:
        client = self.client()
        answer = await client.post("/sign-in", data={"username": username, "password": password})
        assert answer.status_code == 303, answer.text
        client.headers["x-form-token"] = await form_token(client)
        return client

    async def api(self, username: str) -> Api:
        return Api(await self.signed_in(username))

    async def study(self, seed: int) -> str:
        images = list(Maker(seed, size=16).ct(2).instances)
        for image in images:
            image.PatientID = f"P{seed}"
        await receive(self.runtime, images)
        return str(images[0].StudyInstanceUID)


async def form_token(client: httpx.AsyncClient) -> str:
    page = (await client.get("/", headers={"accept": "text/html"})).text
    return page.split('name="form_token" value="')[1].split('"')[0]


def account(username: str, system_role: str = "") -> dict[str, Any]:
    return {"username": username, "password": PASSWORD, "system_role": system_role}


@pytest.fixture
async def world(any_runtime: Runtime) -> AsyncIterator[World]:
    made = World(any_runtime)
    await made.set_up()
    yield made
    for client in made.clients:
        await client.aclose()
