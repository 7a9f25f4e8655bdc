"""Every operation of the API with what schemathesis makes up from its description: no error of the
server's, and no answer that the description does not know. `SLUSE_EXAMPLES=200` for more of them.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from demo.phantoms import Maker
from services.api.accounts import service as accounts
from services.api.accounts.schemas import AccountCreate
from services.classifier.consumer import TransferConsumer
from shared.clock import now
from shared.events import TransferRequested
from shared.ledger.tables import DeadLetter, Membership, core
from shared.people import Role
from shared.runtime import open_runtime
from shared.settings import Settings
from tests.helpers import handle
from tests.integration.test_api_fixtures import receive
from tests.integration.test_people_fixtures import PASSWORD, World, account
from tests.servers.common import free_port

pytest_plugins = ["tests.integration.test_people_fixtures"]


def no_surprise(_: Any, response: Any, __: Any) -> None:
    """503 and 507 are answers to what this machine can't do now, and described."""
    assert response.status_code != 500, "Server error"


SHARDS = 4
EXAMPLES = int(os.environ.get("SLUSE_EXAMPLES", "6"))
CHECKS = [
    no_surprise,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_GENERATED = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer(
    "application/offset+octet-stream",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    'multipart/related; type="application/dicom"',
    "text/csv",
)
def as_it_is(_: Any, value: Any) -> dict[str, Any]:
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")}


class Served(World):
    """A served application with one of everything."""

    port: int
    loop: asyncio.AbstractEventLoop

    async def fill(self) -> None:
        await self.set_up()
        images = list(Maker(1, size=16).ct(2).instances)
        await receive(self.runtime, images)
        await self.root("PUT", "/projects/AAA/members/root", 200, {"role": "owner"})
        hook = {"name": "w", "url": "http://127.0.0.1:9/", "events": ["transfer.complete"]}
        await self.root("POST", "/webhooks", 201, hook)
        await self.root("POST", "/peers", 201, {"name": "ct", "calling_aet": "CT"})
        rule = {"name": "r", "project": "AAA", "called_aet": "AAA", "patient_id_pattern": "A_1"}
        await self.root("POST", "/routing-rules", 201, rule)
        await self.root("POST", "/group-roles", 201, {"group_name": "g", "role": "operator"})
        owner = await self.api("root")
        await owner("POST", "/imports", 201, {"project": "AAA"})
        wanted = {"study_id": 1, "project": "AAA", "participant": "A_1"}
        made = await owner("POST", "/transfers", 201, wanted)
        consumer = TransferConsumer(self.runtime.settings, self.runtime.ledger)
        await handle(consumer, TransferRequested(transfer_id=made["id"]))
        async with self.runtime.ledger.transaction() as connection:
            letter = {"message_id": "m", "queue": "q", "reason": "gave-up", "body": "{}"}
            await connection.execute(core(DeadLetter).insert().values(**letter, died_at=now()))

    async def enter(self, name: str) -> None:
        """A person who may do everything."""
        async with self.runtime.ledger.session() as session:
            made = await accounts.create(
                session, AccountCreate.model_validate(account(name, "administrator"))
            )
            session.add(Membership(account_id=made.id or 0, project_id=1, role=Role.OWNER))


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serve on a loop in a thread: what calls is not asynchronous."""
    ready, done = threading.Event(), threading.Event()
    found: list[Served] = []

    async def serve() -> None:
        settings.spool_path.parent.mkdir(parents=True, exist_ok=True)
        async with open_runtime(settings, "tests", migrating=True) as runtime:
            made = Served(runtime)
            await made.fill()
            made.port = free_port()
            config = uvicorn.Config(made.app, port=made.port, lifespan="off", log_config=None)
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.05)
            made.loop = asyncio.get_running_loop()
            found.append(made)
            ready.set()
            await asyncio.to_thread(done.wait)
            made.app.state.live.close()
            server.should_exit = True
            await task
            for client in made.clients:
                await client.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        while not ready.wait(0.2):
            assert thread.is_alive(), "the server did not start"
        yield found[0]
    finally:
        done.set()
        thread.join()


THERE: dict[str, Any] = {"code": "AAA", "username": "viewer"}
"""What is there of what paths name; of what has a number, number 1."""
NOT_CALLED = {
    ("DELETE", "/api/v1/webhooks/{webhook_id}"),  # the others would find nothing any more
}


def operations(document: dict[str, Any], shard: int) -> list[tuple[str, str]]:
    found = [
        (method.upper(), path)
        for path, described in document["paths"].items()
        for method in described
    ]
    return [one for one in found[shard::SHARDS] if one not in NOT_CALLED]


def signed_in(base: str, username: str) -> httpx.Client:
    """A browser of a person who may do everything."""
    client = httpx.Client(base_url=base, trust_env=False)
    sent = {"username": username, "password": PASSWORD}
    assert client.post("/sign-in", data=sent).status_code == 303
    page = client.get("/", headers={"accept": "text/html"}).text
    client.headers["x-form-token"] = page.split('name="form_token" value="')[1].split('"')[0]
    return client


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_operation_answers_as_it_is_described(
    settings: Settings, postgres_url: str, shard: int
) -> None:
    url = type(settings.database_url)(postgres_url)
    with serving(settings.model_copy(update={"database_url": url})) as served:
        base = f"http://localhost:{served.port}"
        document = httpx.get(f"{base}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document)
        wrong = []
        for number, (method, path) in enumerate(operations(document, shard)):
            # Whoever it is may lose the account on the way.
            name = f"person{number}"
            asyncio.run_coroutine_threadsafe(served.enter(name), served.loop).result()
            person = signed_in(base, name)
            shown = {
                "base_url": base,
                "headers": {"x-form-token": person.headers["x-form-token"]},
                "cookies": dict(person.cookies),
            }
            for mode in GenerationMode:
                wrong += tried(schema[path][method], mode, shown)
        assert not wrong, "\n\n".join(wrong)


def tried(operation: Any, mode: GenerationMode, shown: dict[str, Any]) -> list[str]:
    """What is wrong with an operation's answers."""
    there = {one.name: THERE.get(one.name, 1) for one in operation.path_parameters}
    wrong: dict[int, str] = {}

    def call(case: Any) -> None:
        response = case.call(**shown)
        try:
            case.validate_response(response, checks=CHECKS)
        except* AssertionError as errors:
            said = "; ".join(str(one) for one in errors.exceptions)
            wrong.setdefault(response.status_code, f"{operation.label}: {said}")

    # Legal values find what is there; illegal ones are refused before they find anything.
    is_legal = mode is GenerationMode.POSITIVE
    cases = operation.as_strategy(mode, path_parameters=(there or None) if is_legal else None)
    # Nothing illegal can be made up for what takes nothing.
    with suppress(hypothesis.errors.Unsatisfiable):
        _GENERATED(hypothesis.given(case=cases)(call))()
    return list(wrong.values())
