"""Accounts, roles and rights: who sees and does what, over REST, DICOMweb and the pages."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from demo.phantoms import Maker
from services.api.accounts import hashing
from services.api.app import create_app
from services.api.rights.needs import NEEDS, Where
from shared.clock import now
from shared.ledger.auditing import Action
from shared.ledger.tables import Account, ApiToken, AuditEvent, WebSession, core
from shared.runtime import Runtime
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api, assign, receive

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


# The table


def _routes(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)


async def test_every_route_says_what_it_asks_for(runtime: Runtime) -> None:
    app = create_app(runtime)
    routes = list(_routes(app.routes))
    names = [route.name for route in routes]
    assert len(names) == len(set(names)), "the table goes by these names"
    assert set(names) == set(NEEDS)
    # What is no such route is documentation and files that are the same for everybody.
    others = {route.path for route in app.routes if hasattr(route, "path") and route not in routes}
    assert others == {"/openapi.json", "/static", "/static-offline-docs"}
    public = {name for name, need in NEEDS.items() if need.where is Where.PUBLIC}
    assert public == {
        "alive", "ready", "read_metrics", "show_sign_in", "sign_in", "sign_out",
        "custom_swagger_ui_html", "swagger_ui_redirect", "leave_to_sign_in", "come_back_signed_in",
        "choose_language",
    }  # fmt: skip


_PATHS = {
    "code": "AAA", "transfer_id": "1", "recall_id": "1", "rule_id": "1", "study_id": "1",
    "series_id": "1", "username": "viewer", "study": "1.2.3", "series": "1.2.3",
    "instance": "1.2.3", "import_id": "1", "file_id": "1", "frames": "1", "where": "00100010",
    "title": "SLUSE",
}  # fmt: skip


async def test_nobody_gets_in_without_signing_in(world: World) -> None:
    client = world.client()
    for path, operations in (await client.get("/openapi.json")).json()["paths"].items():
        for name in [one.split("}")[0].split(":")[0] for one in path.split("{")[1:]]:
            path = path.replace(f"{{{name}}}", _PATHS.get(name, "1"))
        for method in operations:
            answer = await client.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
    page = await client.get("/rules?a=b", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/rules%3Fa%3Db")
    assert (await client.post("/rules/1/apply")).status_code == 401


# Roles


async def test_each_role_may_what_it_may(world: World) -> None:
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await world.root("POST", "/transfers", 403, body)
    owner = await world.api("owner")
    made = await owner("POST", "/transfers", 201, body)
    assert made["id"] == 1
    expected = {
        ("GET", "/projects/AAA"): ROLES,
        ("GET", "/transfers/1"): ROLES,
        ("GET", "/projects/AAA/participants"): ROLES,
        ("GET", "/projects/AAA/coupling-list"): ("owner", "data-manager"),
        ("POST", "/transfers/1/retry"): ("owner", "data-manager"),
        ("GET", "/studies/1"): ("owner", "data-manager"),
        ("PATCH", "/projects/AAA"): ("owner",),
    }
    for role in ROLES:
        api = await world.api(role)
        for (method, path), allowed in expected.items():
            answer = await api.client.request(
                method, f"/api/v1{path}", json={} if method == "PATCH" else None
            )
            refused = answer.status_code in (403, 404) and path != "/transfers/1/retry"
            if path == "/transfers/1/retry":
                refused = answer.status_code == 403
            assert refused is (role not in allowed), (role, path, answer.text)
        for path in ("/accounts", "/peers", "/dead-letters"):
            await api("GET", path, 403)
        await api("POST", "/destinations", 403, {})
    operator = await world.api("operator")
    await operator("GET", "/dead-letters", 200)
    await operator("GET", "/accounts", 403)
    assert (await operator("GET", "/projects", 403))["title"] == "You may not see this."


async def test_another_projects_things_are_not_there(world: World) -> None:
    uid = await world.study(1)
    await world.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "owner"})
    theirs = await world.api("nobody")
    body = {"study_instance_uid": uid, "project": "BBB", "participant": "B_1"}
    await theirs("POST", "/transfers", 201, body)
    manager = await world.api("data-manager")
    for method, path in (
        ("GET", "/projects/BBB"), ("GET", "/transfers/1"), ("POST", "/transfers/1/cancel"),
        ("GET", "/projects/BBB/members"), ("GET", "/transfers/1/deliveries"), ("GET", "/studies/1"),
        ("GET", "/series/1"), ("GET", "/studies/1/series"), ("GET", "/transfers/77"),
    ):  # fmt: skip
        found = await manager(method, path, 404)
        assert "no such" in found["title"]
    assert (await manager("GET", "/transfers", 200))["items"] == []
    assert [one["code"] for one in await manager("GET", "/projects", 200)] == ["AAA"]
    assert (await manager("GET", "/studies", 200))["items"] == []
    web = manager.client
    assert (await web.get("/dicom-web/studies")).status_code == 204
    assert (await web.get(f"/dicom-web/studies/{uid}/metadata")).status_code == 404
    await manager.refused("/transfers", body, "project")
    assert "B_1" not in (await web.get("/")).text
    assert len((await theirs("GET", "/studies", 200))["items"]) == 1
    assert (await theirs.client.get("/dicom-web/studies")).status_code == 200


async def test_unassigned_studies_are_seen_by_whom_they_may_concern(world: World) -> None:
    await world.study(1)
    uid = await world.study(2)
    manager, entry = await world.api("data-manager"), await world.api("data-entry")
    viewer = await world.api("viewer")
    assert len((await manager("GET", "/studies", 200))["items"]) == 2
    await viewer("GET", "/studies", 403)
    assert (await entry("GET", "/studies", 200))["items"] == []
    # A rule that has come after the study takes nothing by itself, and says where it belongs.
    rule = {"name": "r", "called_aet": CALLED, "patient_id_pattern": "P2", "project": "AAA"}
    await manager("POST", "/routing-rules", 403, rule)
    await world.root("POST", "/routing-rules", 201, rule)
    (seen,) = (await entry("GET", "/studies", 200))["items"]
    assert seen["study_instance_uid"] == uid
    await entry("GET", f"/studies/{seen['id']}", 200)
    await entry("GET", "/studies/1", 404)
    body = {"study_id": 1, "project": "AAA", "participant": "A_1"}
    await entry.refused("/transfers", body, "study_id")
    await entry("POST", "/transfers", 201, body | {"study_id": seen["id"], "participant": "A_2"})
    assert (await entry("GET", "/studies", 200))["items"] == [], "it is under its pseudonym now"


async def test_what_names_patients_is_audited(world: World) -> None:
    await world.study(1)
    manager = await world.api("data-manager")
    await manager("GET", "/studies", 200)
    await manager("GET", "/studies/1", 200)
    await manager.client.get("/dicom-web/studies")
    shown = [
        (one.actor, one.subject) for one in await rows(world.runtime, AuditEvent)
        if one.action == Action.IDENTITIES_SHOWN
    ]  # fmt: skip
    assert shown == [("data-manager", {"studies": [1]})] * 3


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
    assert (await viewer.post("/language", data=form)).headers["location"] == "/"
    assert "Oversikt" in (await viewer.get("/")).text
    viewer.cookies.delete("sluse_language")
    assert "Oversikt" in (await viewer.get("/")).text, "the account knows it"
    assert (await Api(viewer)("GET", "/account", 200))["language"] == "nb"
    anybody = world.client()
    await anybody.post("/language", data={"language": "xx"})
    assert "Sign in" in (await anybody.get("/sign-in")).text


# What a review found


@pytest.mark.parametrize("number", ["+1", "%2B1", "1.0", "%201", "1%20", "٣", "1" * 30, "1" * 5000])
async def test_a_number_is_written_in_one_way_only(world: World, number: str) -> None:
    """Rights are looked up by what the path says: it must not mean something else to the route."""
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await (await world.api("owner"))("POST", "/transfers", 201, body)
    stranger = await world.signed_in("nobody")
    for method, path in (
        ("GET", "transfers/{}"), ("POST", "transfers/{}/cancel"), ("POST", "transfers/{}/recall"),
        ("GET", "recalls/{}"), ("GET", "routing-rules/{}"), ("GET", "imports/{}"),
        ("GET", "studies/{}"), ("GET", "series/{}"),
    ):  # fmt: skip
        answer = await stranger.request(method, f"/api/v1/{path.format(number)}")
        assert answer.status_code in (403, 404, 422), (path, answer.text)
    assert (await (await world.api("owner"))("GET", "/transfers/1", 200))["state"] == "requested"


async def test_no_rule_and_no_list_finds_or_takes_another_projects_patients(world: World) -> None:
    uid = await world.study(1)
    await world.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "owner"})
    body = {"study_instance_uid": uid, "project": "BBB", "participant": "B_1"}
    theirs = await world.api("nobody")
    await theirs("POST", "/transfers", 201, body)
    manager = await world.api("data-manager")
    rule = {"name": "r", "called_aet": CALLED, "patient_id_pattern": "P", "project": "AAA"}
    assert (await manager("POST", "/routing-rules/dry-run", 200, rule))["items"] == []
    await world.root("POST", "/routing-rules", 201, rule)
    assert await manager("POST", "/routing-rules/1/apply", 200) == {"taken": 0, "refused": 0}
    for query in ("?dry_run=true", ""):
        answer = await manager.client.post(
            f"/api/v1/projects/AAA/coupling-list{query}",
            content=f"study_instance_uid,participant\n{uid},A_1\n",
            headers={"content-type": "text/csv"},
        )
        assert answer.json()["studies"]["matching"] == 0, answer.text
    await manager.refused("/transfers", body | {"project": "AAA"}, "study_instance_uid")
    await manager.refused(
        "/transfers", body | {"project": "AAA", "study_instance_uid": "1.2.3"}, "study_instance_uid"
    )
    answer = await manager.client.get("/api/v1/studies?project=BBB")
    assert answer.status_code == 422
    assert (await theirs("GET", "/studies/1", 200))["projects"] == ["BBB"]
    # Once it has left the project, it has left its people's sight.
    await theirs("POST", "/transfers/1/cancel", 200)
    await world.root("PUT", "/projects/AAA/members/data-manager", 200, {"role": "owner"})
    await (await world.api("data-manager"))(
        "POST", "/transfers", 201, body | {"project": "AAA", "participant": "A_9"}
    )
    await theirs("GET", "/studies/1", 404)


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


async def test_who_sees_pseudonyms_gets_no_way_back(world: World) -> None:
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    owner, viewer = await world.api("owner"), await world.api("viewer")
    await owner("POST", "/transfers", 201, body)
    await assign(world.runtime, 1)
    assert (await owner("GET", "/projects/AAA", 200))["date_shift_days"] is not None
    for api in (viewer, world.root):
        assert (await api("GET", "/projects/AAA", 200))["date_shift_days"] is None
        assert (await api("GET", "/projects", 200))[0]["date_shift_days"] is None
        deliveries = (await api("GET", "/transfers/1/deliveries", 200))["items"]
        assert deliveries and all(one["sop_instance_uid"] is None for one in deliveries)
    assert all(
        one["sop_instance_uid"]
        for one in (await owner("GET", "/transfers/1/deliveries", 200))["items"]
    )


async def test_nobody_stores_into_another_project(world: World) -> None:
    entry = await world.signed_in("data-entry")
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    for title, status in (("BBB", 404), ("NOBODY", 404), ("AAA", 400), ("SLUSE", 400)):
        answer = await entry.post(
            f"/dicom-web/aet/{title}/studies", content=b"", headers={"content-type": kind}
        )
        assert answer.status_code == status, (title, answer.text)


async def test_many_guesses_at_once_are_no_more_than_one_by_one(world: World) -> None:
    client = world.client()
    form = {"username": "viewer", "password": "wrong"}
    answers = await asyncio.gather(*(client.post("/sign-in", data=form) for _ in range(30)))
    assert sorted(one.status_code for one in answers) == [401] * 8 + [429] * 22
