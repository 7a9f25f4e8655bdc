"""Accounts: signing in and out, the first administrator, tokens."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from shared.clock import now
from shared.ledger.auditing import Action
from shared.ledger.tables import Account, ApiToken, AuditEvent, WebSession, core
from shared.runtime import Runtime
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api
from tests.integration.test_people_fixtures import (
    PASSWORD,
    World,
    _fast_hashes,
    account,
    form_token,
    world,
)

__all__ = ["_fast_hashes", "world"]


# Signing in


async def test_signing_in_and_out(world: World) -> None:
    client = await world.signed_in("VIEWER")
    cookie = next(iter(client.cookies.jar))
    assert (cookie.name, cookie.secure) == ("sluse_session", False)
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
    page = await client.get("/")
    assert "viewer" in page.text and "Sign out" in page.text and "Senders" not in page.text
    assert (await Api(client)("GET", "/account", 200))["projects"] == {"AAA": ["view"]}
    await client.post("/sign-out")
    assert (await client.get("/api/v1/account")).status_code == 401
    assert {one.action for one in await rows(world.runtime, AuditEvent)} >= {
        Action.SIGNED_IN, Action.SIGNED_OUT
    }  # fmt: skip


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [("/rules", "/rules"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/"),
     ("", "/"), ("/a\r\nb: c", "/"), ("%2F%2Fevil.example", "/")],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere(world: World, target: str, goes_to: str) -> None:
    client = world.client()
    form = {"username": "viewer", "password": PASSWORD, "next": target}
    assert (await client.post("/sign-in", data=form)).headers["location"] == goes_to


async def test_a_wrong_password_says_no_more_than_that(world: World) -> None:
    texts = set()
    for username in ("viewer", "nobody-at-all", "' OR 1=1 --", "\0", "x" * 200):
        answer = await world.client().post(
            "/sign-in", data={"username": username, "password": "wrong"}
        )
        assert answer.status_code == 401
        texts.add(answer.text.split('role="alert">')[1].split("<")[0])
    assert texts == {"This user name and password do not fit together."}


async def test_guessing_is_slowed_down(world: World) -> None:
    for _ in range(8):
        await world.client().post("/sign-in", data={"username": "viewer", "password": "wrong"})
    answer = await world.client().post(
        "/sign-in", data={"username": "viewer", "password": PASSWORD}
    )
    assert answer.status_code == 429 and "quarter of an hour" in answer.text
    await world.signed_in("owner")
    # A stranger does not keep the person out who comes from elsewhere.
    transport = httpx.ASGITransport(world.app, client=("10.0.0.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as elsewhere:
        form = {"username": "viewer", "password": PASSWORD}
        assert (await elsewhere.post("/sign-in", data=form)).status_code == 303


async def test_what_another_site_sends_is_refused(world: World) -> None:
    client = await world.signed_in("owner")
    del client.headers["x-form-token"]
    answer = await client.patch("/api/v1/projects/AAA", json={"title": "x"})
    assert answer.status_code == 403 and "too old" in answer.json()["title"]
    other = await form_token(await world.signed_in("viewer"))
    answer = await client.post("/sign-out", data={"form_token": other})
    assert answer.status_code == 403
    answer = await client.post("/sign-out", data={"form_token": await form_token(client)})
    assert answer.status_code == 303


async def test_a_cookie_of_whoever_is_gone_opens_nothing(world: World) -> None:
    clients = {name: await world.signed_in(name) for name in ("owner", "viewer", "nobody")}
    accounts = {one["username"]: one["id"] for one in await world.root("GET", "/accounts", 200)}
    await world.root("DELETE", f"/accounts/{accounts['owner']}", 204)
    await world.root("PATCH", f"/accounts/{accounts['viewer']}", 200, {"enabled": False})
    async with world.runtime.ledger.transaction() as connection:
        long_ago = now().replace(year=2020)
        await connection.execute(
            update(core(WebSession))
            .where(core(WebSession).c.account_id == accounts["nobody"])
            .values(seen_at=long_ago)
        )
    for name, client in clients.items():
        assert (await client.get("/api/v1/account")).status_code == 401, name
    forged = world.client()
    forged.cookies.set("sluse_session", "x.y.z")
    assert (await forged.get("/api/v1/account")).status_code == 401
    answer = await world.client().post(
        "/sign-in", data={"username": "viewer", "password": PASSWORD}
    )
    assert answer.status_code == 401


async def test_passwords_are_changed_and_end_sessions(world: World) -> None:
    api = await world.api("viewer")
    body = {"old": PASSWORD, "new": "another horse battery"}
    await api.refused("/account/password", body | {"old": "wrong"}, "old")
    await api.refused("/account/password", body | {"new": "short"}, "new")
    await api("POST", "/account/password", 204, body)
    assert (await api.client.get("/api/v1/account")).status_code == 401
    await world.signed_in("viewer", "another horse battery")
    kept = [one.password_hash for one in await rows(world.runtime, Account)]
    assert all(one.startswith("$argon2id$") for one in kept)


# Accounts and members


async def test_the_first_account_is_an_administrators(any_runtime: Runtime) -> None:
    made = World(any_runtime)
    api = Api(made.client())
    await api.refused("/accounts", account("kari"), "system_role")
    await api.refused(
        "/accounts", account("kari", "administrator") | {"password": None}, "password"
    )
    await api("POST", "/accounts", 201, account("Kari", "administrator"))
    await api("GET", "/accounts", 401)
    again = World(any_runtime)
    assert (await again.client().get("/api/v1/accounts")).status_code == 401, "after a restart too"


async def test_before_there_are_accounts_only_this_machine_gets_in(any_runtime: Runtime) -> None:
    made = World(any_runtime)
    assert (await made.client().get("/api/v1/projects")).status_code == 200
    proxied = made.client(**{"x-forwarded-for": "10.1.2.3"})
    assert (await proxied.get("/api/v1/projects")).status_code == 401
    transport = httpx.ASGITransport(made.app, client=("10.1.2.3", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as far:
        assert (await far.get("/api/v1/projects")).status_code == 401


async def test_somebody_stays_administrator_and_owner(world: World) -> None:
    accounts = {one["username"]: one["id"] for one in await world.root("GET", "/accounts", 200)}
    await world.root("DELETE", f"/accounts/{accounts['root']}", 409)
    await world.root("PATCH", f"/accounts/{accounts['root']}", 409, {"system_role": ""})
    await world.root("PATCH", f"/accounts/{accounts['root']}", 409, {"enabled": False})
    await world.root("DELETE", "/projects/AAA/members/owner", 409)
    await world.root("PUT", "/projects/AAA/members/owner", 409, {"role": "viewer"})
    await world.root("PUT", "/projects/AAA/members/viewer", 200, {"role": "owner"})
    await world.root("DELETE", "/projects/AAA/members/owner", 204)
    await world.root("DELETE", "/projects/AAA/members/owner", 404)
    await world.root("PUT", "/projects/AAA/members/stranger", 404, {"role": "viewer"})
    members = await world.root("GET", "/projects/AAA/members", 200)
    assert [(one["username"], one["role"]) for one in members] == [
        ("data-entry", "data-entry"), ("data-manager", "data-manager"), ("viewer", "owner")
    ]  # fmt: skip
    await (await world.api("data-manager"))(
        "PUT", "/projects/AAA/members/nobody", 403, {"role": "viewer"}
    )
    await world.root("POST", "/accounts", 409, account("viewer"))
    await world.root.refused("/accounts", account("with blank"), "username")


# Tokens


async def test_a_token_does_no_more_than_it_says(world: World) -> None:
    await world.study(1)
    manager = await world.api("data-manager")
    await manager.refused("/tokens", {"name": "t", "rights": ["manage"]}, "rights")
    await manager.refused("/tokens", {"name": "t", "rights": ["view"], "project": "BBB"}, "project")
    body = {"name": "reader", "rights": ["view"], "project": "AAA", "days": 1}
    made = await manager("POST", "/tokens", 201, body)
    assert made["token"].startswith("sluse_") and made["token"].endswith(made["hint"])
    bearer = world.client(authorization=f"Bearer {made['token']}")
    token = Api(bearer)
    await token("GET", "/projects/AAA", 200)
    await token("GET", "/studies", 403)
    await token("GET", "/projects/BBB", 404)
    await token("GET", "/projects/AAA/coupling-list", 403)
    (listed,) = await manager("GET", "/tokens", 200)
    assert "token" not in listed and listed["used_at"]
    assert made["token"] not in str(await rows(world.runtime, ApiToken))
    # The owner's rights are the limit, now and later.
    await world.root("PUT", "/projects/AAA/members/data-manager", 200, {"role": "viewer"})
    await token("GET", "/projects/AAA", 200)
    await world.root("DELETE", "/projects/AAA/members/data-manager", 204)
    await token("GET", "/projects/AAA", 404)
    await manager("DELETE", f"/tokens/{made['id']}", 204)
    await token("GET", "/account", 401)
    await (await world.api("viewer"))("DELETE", f"/tokens/{made['id']}", 404)


async def test_a_token_expires(world: World) -> None:
    viewer = await world.api("viewer")
    made = await viewer("POST", "/tokens", 201, {"name": "t", "rights": ["view"]})
    token = Api(world.client(authorization=f"Bearer {made['token']}"))
    await token("GET", "/transfers", 200)
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(ApiToken)).values(expires_at=now()))
    await token("GET", "/transfers", 401)
    for wrong in ("Bearer", "Bearer x", "Basic abc", f"Bearer {made['token']}x"):
        answer = await world.client(authorization=wrong).get("/api/v1/transfers")
        assert answer.status_code == 401


async def test_who_did_it_is_in_the_audit(world: World) -> None:
    owner = await world.api("owner")
    made = await owner("POST", "/tokens", 201, {"name": "engine", "rights": ["view", "assign",
                                                                         "identify"]})  # fmt: skip
    await world.study(1)
    token = Api(world.client(authorization=f"Bearer {made['token']}"))
    body = {"study_id": 1, "project": "AAA", "participant": "A_1"}
    await token("POST", "/transfers", 201, body)
    requested = [
        one.actor for one in await rows(world.runtime, AuditEvent)
        if one.action == Action.TRANSFER_REQUESTED
    ]  # fmt: skip
    assert requested == ["owner (engine)"]


async def test_the_first_administrator_enters_themselves_on_the_page(any_runtime: Runtime) -> None:
    made = World(any_runtime)
    client = made.client()
    assert "/first-account" in (await client.get("/")).text
    form = {"username": "Kari", "name": "Kari <b>N</b>", "password": PASSWORD, "again": PASSWORD}
    for wrong, says in (
        ({"again": "x"}, "not the same"), ({"password": "short", "again": "short"}, "12 to 256"),
        ({"username": "a b"}, "letters, digits"),
    ):  # fmt: skip
        answer = await client.post("/first-account", data=form | wrong)
        assert answer.status_code == 422 and says in answer.text
        assert "&lt;b&gt;" in answer.text and "<b>N" not in answer.text
    answer = await client.post("/first-account", data=form)
    assert answer.headers["location"] == "/sign-in"
    assert (await client.get("/first-account")).status_code == 401
    signed_in = await made.signed_in("kari")
    assert "Kari &lt;b&gt;" in (await signed_in.get("/")).text


async def test_accounts_from_the_command_line(runtime: Runtime) -> None:
    """As in a container, where the page can't be reached from the machine itself."""
    knobs = {
        name: value for name, value in os.environ.items() if not name.startswith("SLUSE_")
    } | {"SLUSE_DATABASE_URL": runtime.settings.database_url.get_secret_value()}  # fmt: skip

    def sluse(*arguments: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("sluse"), "account", *arguments],
            env=knobs | {"PASSWORD": password}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    refused = await asyncio.to_thread(sluse, "add", "kari")
    assert refused.returncode == 1 and "an administrator's" in refused.stderr
    short = await asyncio.to_thread(sluse, "add", "kari", "--administrator", password="short")
    assert short.returncode == 1 and "12 to 256 characters" in short.stderr
    made = await asyncio.to_thread(sluse, "add", "kari", "--administrator", "--name", "Kari")
    assert (made.returncode, made.stdout) == (0, "kari may sign in.\n"), made.stderr
    world = World(runtime)
    await world.signed_in("kari")
    changed = await asyncio.to_thread(sluse, "password", "kari", password="another one here")
    assert changed.returncode == 0, changed.stderr
    await world.signed_in("kari", "another one here")
    unknown = await asyncio.to_thread(sluse, "password", "nobody")
    assert (unknown.returncode, unknown.stderr) == (1, "There is no account nobody.\n")
    assert [one.actor for one in await rows(runtime, AuditEvent)][:1] == ["command line"]


async def test_the_pages_speak_the_persons_language(world: World) -> None:
    client = world.client(**{"accept-language": "nb-NO"})
    page = await client.get("/sign-in")
    assert '<html lang="nb">' in page.text and "Logg inn" in page.text
    wrong = await client.post("/sign-in", data={"username": "viewer", "password": "x"})
    assert "Brukernavnet og passordet passer ikke sammen." in wrong.text
    viewer = await world.signed_in("viewer")
    assert "Overview" in (await viewer.get("/")).text
    form = {"form_token": await form_token(viewer), "language": "nb", "next": "/"}
    assert (await viewer.post("/look", data=form)).headers["location"] == "/"
    assert "Oversikt" in (await viewer.get("/")).text
    viewer.cookies.delete("sluse_language")
    assert "Oversikt" in (await viewer.get("/")).text, "the account knows it"
    assert (await Api(viewer)("GET", "/account", 200))["language"] == "nb"
    anybody = world.client()
    await anybody.post("/look", data={"language": "xx"})
    assert "Sign in" in (await anybody.get("/sign-in")).text


async def test_a_token_makes_itself_no_more_than_it_is(world: World) -> None:
    owner = await world.api("owner")
    await owner.refused("/tokens", {"name": "t", "rights": ["operate"], "project": "AAA"}, "rights")
    made = await owner("POST", "/tokens", 201, {"name": "t", "rights": ["view", "manage"]})
    token = Api(world.client(authorization=f"Bearer {made['token']}"))
    await token("POST", "/tokens", 403, {"name": "u", "rights": ["view"], "days": 366})
    await token("DELETE", f"/tokens/{made['id']}", 403)
    await token("POST", "/account/password", 403, {"old": PASSWORD, "new": PASSWORD})
    await token("PATCH", "/account", 403, {"name": "x"})
    await owner("POST", "/account/password", 204, {"old": PASSWORD, "new": "x" * 12})
    await token("GET", "/account", 401)


async def test_many_guesses_at_once_are_no_more_than_one_by_one(world: World) -> None:
    client = world.client()
    form = {"username": "viewer", "password": "wrong"}
    answers = await asyncio.gather(*(client.post("/sign-in", data=form) for _ in range(30)))
    assert sorted(one.status_code for one in answers) == [401] * 8 + [429] * 22


@pytest.mark.parametrize("username", ["rest", "Sluse", "directory", "system", "rule"])
async def test_nobody_is_called_as_the_audit_calls_itself(world: World, username: str) -> None:
    problem = await world.root("POST", "/accounts", 422, account(username))
    assert problem["errors"][0]["field"] == "username"
    assert "in its audit" in problem["errors"][0]["message"]


async def test_accounts_are_searched(world: World) -> None:
    await world.root("POST", "/accounts", 201, account("aase") | {"name": "Åse O'Neil_100%"})
    for query, found in (
        ("search=åse o'n", {"aase"}), ("search=ÅSE", {"aase"}), ("search=_100%25", {"aase"}),
        ("search=VIEW", {"viewer"}), ("search=%25", {"aase"}), ("search=nobody at all", set()),
        ("system_role=operator", {"operator"}), ("system_role=administrator", {"root"}),
        ("system_role=&search=d", {"data-entry", "data-manager", "nobody"}),
        ("enabled=false", set()), ("search=%00aase%00", {"aase"}),
    ):  # fmt: skip
        listed = await world.root("GET", f"/accounts?{query}", 200)
        assert {one["username"] for one in listed} == found, query
    await world.root("GET", f"/accounts?search={'x' * 65}", 422)


async def test_administrators_see_tokens_and_take_them_away(world: World) -> None:
    owner = await world.api("owner")
    made = await owner("POST", "/tokens", 201, {"name": "flow", "rights": ["view"]})
    ids = {one["username"]: one["id"] for one in await world.root("GET", "/accounts", 200)}
    path = f"/accounts/{ids['owner']}/tokens"
    (seen,) = await world.root("GET", path, 200)
    assert seen["name"] == "flow" and "token" not in seen
    assert await world.root("GET", f"/accounts/{ids['viewer']}/tokens", 200) == []
    await world.root("GET", "/accounts/999/tokens", 404)
    await owner("GET", path, 403)
    await owner("DELETE", f"{path}/{made['id']}", 403)
    await world.root("DELETE", f"/accounts/{ids['viewer']}/tokens/{made['id']}", 404)
    await world.root("DELETE", f"{path}/{made['id']}", 204)
    await world.root("DELETE", f"{path}/{made['id']}", 404)
    system = world.client(authorization=f"Bearer {made['token']}")
    assert (await system.get("/api/v1/projects")).status_code == 401
    (last,) = [
        one for one in await rows(world.runtime, AuditEvent) if one.action == Action.TOKEN_REVOKED
    ]
    assert (last.actor, last.subject) == (
        "root", {"token": made["id"], "account": ids["owner"]}
    )  # fmt: skip
