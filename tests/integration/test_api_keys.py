"""What is done once however often it is sent, and changes that do not undo each other."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from services.api import repeating
from services.api.problems import ProblemError
from services.api.projects import processing
from services.api.versions import Edited, require_version
from shared.clock import now
from shared.errors import Reason, Retry
from shared.ledger import Ledger
from shared.ledger.tables import AnsweredPost, ApiToken, Destination, core
from shared.runtime import Runtime
from tests.integration.test_people_fixtures import World

pytest_plugins = ["tests.integration.test_api_fixtures", "tests.integration.test_people_fixtures"]

_answered = core(AnsweredPost)


def destination(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "ae_title": "PACS", "host": "127.0.0.1", "port": 104, **more}


async def post(client: httpx.AsyncClient, path: str, body: Any, key: str = "k-1") -> httpx.Response:
    return await client.post(f"/api/v1{path}", json=body, headers={repeating.HEADER: key})


async def rows(runtime: Runtime) -> list[Any]:
    async with runtime.ledger.reading() as connection:
        return list((await connection.execute(select(_answered))).all())


async def count(runtime: Runtime, model: Any) -> int:
    async with runtime.ledger.reading() as connection:
        return len((await connection.execute(select(core(model)))).all())


async def test_the_same_key_is_done_once(any_runtime: Runtime, client: httpx.AsyncClient) -> None:
    first = await post(client, "/destinations", destination("one"))
    again = await post(client, "/destinations", destination("one"))
    assert first.status_code == again.status_code == 201
    assert again.content == first.content and again.headers["etag"] == first.headers["etag"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await count(any_runtime, Destination) == 1
    other = await post(client, "/destinations", destination("two"))
    assert other.status_code == 422 and "another request" in other.json()["errors"][0]["message"]
    fresh = await post(client, "/destinations", destination("one"), "k-2")
    assert fresh.status_code == 409  # done anew, and the name is taken
    assert len(await rows(any_runtime)) == 1


async def test_many_at_once_with_one_key_do_it_once(
    any_runtime: Runtime, client: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(
        *(post(client, "/destinations", destination("one")) for _ in range(6))
    )
    assert {one.status_code for one in answers} <= {201, 409}
    assert sum(one.status_code == 201 for one in answers) >= 1
    said = {one.json()["title"] for one in answers if one.status_code == 409}
    assert all("still worked on" in one or "begun or done" in one for one in said)
    assert await count(any_runtime, Destination) == 1


async def test_what_was_refused_may_be_sent_again(
    any_runtime: Runtime, client: httpx.AsyncClient
) -> None:
    wrong = await post(client, "/destinations", destination("one", port=0))
    assert wrong.status_code == 422 and await rows(any_runtime) == []
    assert (await post(client, "/destinations", destination("one"))).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    answer = await post(client, "/destinations", destination("one"), key)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_an_answer_that_is_lost_is_not_done_again(
    any_runtime: Runtime, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between the change's commit and the answer."""

    class Ended(BaseException):
        pass

    async def ends(*_: object) -> None:
        raise Ended

    monkeypatch.setattr(repeating, "_remember", ends)
    with pytest.raises(Ended):
        await post(client, "/destinations", destination("one"))
    monkeypatch.undo()
    again = await post(client, "/destinations", destination("one"))
    assert again.status_code == 409 and "begun or done" in again.json()["title"]
    assert await count(any_runtime, Destination) == 1


async def test_what_broke_off_before_it_changed_anything_is_taken_over(
    any_runtime: Runtime, client: httpx.AsyncClient
) -> None:
    assert (await post(client, "/destinations", destination("one"))).status_code == 201
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(core(Destination).delete())
        await connection.execute(update(_answered).values(status=None, body=""))
    waiting = await post(client, "/destinations", destination("one"))
    assert waiting.status_code == 409 and "still worked on" in waiting.json()["title"]
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(update(_answered).values(created_at=now() - timedelta(hours=1)))
    assert (await post(client, "/destinations", destination("one"))).status_code == 201


async def test_whoever_was_taken_over_changes_nothing(any_runtime: Runtime) -> None:
    slow = repeating._Claim("0 0", "a" * 64, "slow")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            _answered.insert().values(
                **slow._replace(claim="quick")._asdict(), fingerprint="", created_at=now()
            )
        )
    with pytest.raises(Retry) as caught:
        async with any_runtime.ledger.transaction() as connection:
            await slow.note_done(connection)
    assert caught.value.reason is Reason.DATABASE_AWAY


async def test_a_key_that_is_given_back_at_this_moment_is_still_worked_on(
    any_runtime: Runtime, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was refused between two statements of the second: it is told to come again."""
    await post(client, "/destinations", destination("one"))
    taken, mine = repeating.insert_or, _answered.delete()

    class Conflict:
        """An insert that finds the row there, which is gone right after."""

        def __init__(self, statement: Any) -> None:
            self.statement = statement

        def values(self, **values: Any) -> "Conflict":
            return Conflict(self.statement.values(**values))

        def on_conflict_do_nothing(self, **_: Any) -> Any:
            return mine.where(_answered.c.id == 0)

    monkeypatch.setattr(repeating, "insert_or", lambda *given: Conflict(taken(*given)))
    answer = await post(client, "/destinations", destination("two"), "k-2")
    assert answer.status_code == 409 and "still worked on" in answer.json()["title"]


async def test_keys_are_kept_for_a_day(any_runtime: Runtime, client: httpx.AsyncClient) -> None:
    for number in (1, 2):
        await post(client, "/destinations", destination(f"pacs {number}"), f"k-{number}")
    old = update(_answered).where(_answered.c.id == 1).values(created_at=now() - timedelta(days=2))
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(old)
        await repeating.sweep(connection)
    assert [row.id for row in await rows(any_runtime)] == [2]


async def test_who_has_the_database_alone_learns_nothing_of_what_was_sent(
    any_runtime: Runtime, client: httpx.AsyncClient
) -> None:
    body = json.dumps(destination("Nordmann")).encode()
    headers = {repeating.HEADER: "k-1", "content-type": "application/json"}
    assert (await client.post("/api/v1/destinations", content=body, headers=headers)).is_success
    (row,) = await rows(any_runtime)
    plain = hashlib.sha256(b"POST /api/v1/destinations?\n" + body).hexdigest()
    assert row.fingerprint != plain and "Nordmann" not in row.body


async def test_a_key_is_its_owners_and_secrets_are_answered_once(any_runtime: Runtime) -> None:
    world = World(any_runtime)
    await world.set_up()
    wanted = {"name": "robot", "rights": ["view"]}
    for name in ("owner", "viewer"):
        client = await world.signed_in(name)
        assert (await post(client, "/tokens", wanted)).status_code == 201
        again = await post(client, "/tokens", wanted)
        assert again.status_code == 409 and "shown once" in again.json()["title"]
    assert await count(any_runtime, ApiToken) == 2
    assert [row.body for row in await rows(any_runtime)] == ["", ""]
    assert (await post(world.client(), "/tokens", wanted)).status_code == 401
    # With the person goes what they were answered.
    people = await world.root("GET", "/accounts", 200)
    (viewer,) = (one["id"] for one in people if one["username"] == "viewer")
    await world.root("DELETE", f"/accounts/{viewer}", 204)
    assert len(await rows(any_runtime)) == 1
    for client in world.clients:
        await client.aclose()


async def test_two_tokens_of_one_name_have_keys_of_their_own(any_runtime: Runtime) -> None:
    world = World(any_runtime)
    await world.set_up()
    root = await world.signed_in("root")
    made = []
    for _ in range(2):
        wanted = {"name": "robot", "rights": ["administer"]}
        token = (await root.post("/api/v1/tokens", json=wanted)).json()["token"]
        client = world.client(authorization=f"Bearer {token}")
        made.append(await post(client, "/destinations", destination("one")))
    assert [one.status_code for one in made] == [201, 409]
    assert made[1].json()["title"] == "It exists already."
    for client in world.clients:
        await client.aclose()


async def test_what_only_reads_is_read_again(any_runtime: Runtime) -> None:
    """A repeated search is audited, and shows no more than one may see then."""
    world = World(any_runtime)
    await world.set_up()
    await world.study(1)
    manager = await world.signed_in("data-manager")
    wanted = {"text": "P1"}
    found = await post(manager, "/studies/search", wanted)
    assert found.is_success and len(found.json()["items"]) == 1
    await world.root("PUT", "/projects/AAA/members/data-manager", 200, {"role": "data-entry"})
    again = await post(manager, "/studies/search", wanted)
    assert again.is_success and again.json()["items"] == []
    assert await rows(any_runtime) == []
    for client in world.clients:
        await client.aclose()


async def test_what_is_done_in_parts_goes_on(
    any_runtime: Runtime, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(client, "/destinations", destination("one"))
    await client.post("/api/v1/projects", json={"code": "AAA", "destination_id": 1})
    tried = 0

    async def broken_off(ledger: Ledger, *_: object) -> AsyncIterator[list[Any]]:
        nonlocal tried
        tried += 1
        async with ledger.transaction():
            yield []
        if tried == 1:
            raise Retry(Reason.DATABASE_AWAY)

    monkeypatch.setattr(processing, "process_again", broken_off)
    path = "/projects/AAA/process-again"
    assert (await post(client, path, None, "k-2")).status_code == 503
    assert (await post(client, path, None, "k-2")).status_code == 202
    assert (await post(client, path, None, "k-2")).headers["idempotent-replayed"] == "true"
    assert tried == 2


CHANGES: dict[str, tuple[str, str, Any, Any]] = {
    "project": ("PATCH", "/projects/AAA", {"title": "A"}, {"title": "B"}),
    "destination": ("PUT", "/destinations/1", destination("pacs", port=105), destination("pacs")),
    "account": ("PATCH", "/accounts/2", {"name": "A"}, {"name": "B"}),
    "peer": ("PUT", "/peers/1", {"name": "ct", "calling_aet": "A"},
             {"name": "ct", "calling_aet": "B"}),
    "rule": ("PUT", "/routing-rules/1", *(
        {"name": "r", "project": "AAA", "called_aet": one, "patient_id_pattern": "A_[0-9]+"}
        for one in ("A", "B"))),
    "webhook": ("PATCH", "/webhooks/1", {"name": "A"}, {"name": "B"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_of_what_somebody_else_has_changed_is_refused(
    any_runtime: Runtime, what: str
) -> None:
    world = World(any_runtime)
    await world.set_up()
    root = world.root.client
    method, path, mine, others = CHANGES[what]
    if what in ("peer", "rule"):
        assert (await root.post(f"/api/v1{path.rpartition('/')[0]}", json=others)).is_success
    if what == "webhook":
        hook = {"name": "w", "url": "http://127.0.0.1:9/", "events": ["transfer.complete"]}
        assert (await root.post("/api/v1/webhooks", json=hook)).is_success
    read = await root.get(f"/api/v1{path}")

    async def change(body: Any, version: str) -> httpx.Response:
        headers = {"if-match": version}
        return await root.request(method, f"/api/v1{path}", json=body, headers=headers)

    changed = await change(mine, read.headers["etag"])
    assert changed.is_success and changed.headers["etag"] != read.headers["etag"]
    assert (await root.get(f"/api/v1{path}")).headers["etag"] == changed.headers["etag"]
    late = await change(others, read.headers["etag"])
    assert late.status_code == 412 and "meanwhile" in late.json()["title"]
    assert (await root.get(f"/api/v1{path}")).json() == changed.json()
    assert (await change(others, f'"x", {changed.headers["etag"]}')).is_success
    assert (await change(mine, "*")).is_success
    for client in world.clients:
        await client.aclose()


async def test_a_new_thing_has_the_version_that_it_is_read_with(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/v1/destinations", json=destination("one"))
    assert (await client.get("/api/v1/destinations/1")).headers["etag"] == made.headers["etag"]


def test_a_weak_version_matches_nothing() -> None:
    class Thing(Edited):
        name: str = "a"

    require_version(Thing().version(), Thing())
    with pytest.raises(ProblemError):
        require_version(f"W/{Thing().version()}", Thing())
