"""Signing in at the hospital's identity provider (OpenID Connect), against a small one."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from shared.ledger.tables import Account
from shared.runtime import Runtime
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api
from tests.integration.test_people_fixtures import World, _fast_hashes, world
from tests.servers.common import free_port
from tests.servers.oidc import CLIENT, SECRET, OidcProvider, oidc_provider

__all__ = ["_fast_hashes", "world"]


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as running:
        yield running


@pytest.fixture
async def any_runtime(any_runtime: Runtime, provider: OidcProvider) -> Runtime:
    knobs = {
        "oidc_issuer": provider.issuer, "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
    }  # fmt: skip
    settings = any_runtime.settings.model_copy(update=knobs)
    object.__setattr__(any_runtime, "settings", settings)
    return any_runtime


async def journey(world: World, target: str = "/rules") -> tuple[httpx.AsyncClient, Any]:
    """Go to the provider and come back; the browser, and what it sees then."""
    browser = world.client()
    assert "/sign-in/elsewhere" in (await browser.get("/sign-in")).text
    away = await browser.get("/sign-in/elsewhere", params={"next": target})
    if away.status_code != 303:
        return browser, away
    async with httpx.AsyncClient(trust_env=False) as outside:
        back = await outside.get(away.headers["location"])
    return browser, await browser.get(back.headers["location"])


async def test_whoever_the_provider_vouches_for_gets_in(
    world: World, provider: OidcProvider
) -> None:
    provider.person |= {"name": "Kari Nordmann", "groups": ["Research-AAA"]}
    _, answer = await journey(world)
    assert answer.status_code == 403 and "nobody has given you anything" in answer.text
    role = {"group_name": "research-aaa", "project": "AAA", "role": "data-manager"}
    await world.root("POST", "/group-roles", 201, role)
    browser, answer = await journey(world)
    assert (answer.status_code, answer.headers["location"]) == (303, "/rules")
    own = await Api(browser)("GET", "/account", 200)
    assert (own["username"], own["name"]) == ("kari", "Kari Nordmann")
    assert "identify" in own["projects"]["AAA"]
    account = next(one for one in await rows(world.runtime, Account) if one.username == "kari")
    assert (account.source, account.password_hash) == ("oidc", "")
    # There is no password of theirs here.
    form = {"username": "kari", "password": ""}
    assert (await world.client().post("/sign-in", data=form)).status_code == 401
    # The same name, another person.
    provider.person |= {"sub": "2"}
    _, answer = await journey(world)
    assert answer.status_code == 401


async def test_nobody_takes_over_an_account_of_sluse(world: World, provider: OidcProvider) -> None:
    provider.person |= {"preferred_username": "Root"}
    _, answer = await journey(world)
    assert answer.status_code == 403 and "can&#39;t sign in to in this way" in answer.text


@pytest.mark.parametrize("username", ["Directory", "root (workflow)", "command line"])
async def test_nobody_comes_by_a_name_of_the_audits_own(
    world: World, provider: OidcProvider, username: str
) -> None:
    provider.person |= {"preferred_username": username, "groups": ["staff"]}
    await world.root("POST", "/group-roles", 201, {"group_name": "staff", "role": "operator"})
    _, answer = await journey(world)
    assert answer.status_code == 403 and "calls itself, or tokens, like that" in answer.text


@pytest.mark.parametrize(
    "changes",
    [{"iss": "http://other"}, {"aud": "other"}, {"exp": 1}, {"nonce": "other"}, {"nonce": None},
     {"sub": None}, {"exp": None}, {"preferred_username": None}, {"preferred_username": 7},
     {"groups": "all"}],
)  # fmt: skip
async def test_an_id_token_that_is_none_opens_nothing(
    world: World, provider: OidcProvider, changes: dict[str, Any]
) -> None:
    await world.root("POST", "/group-roles", 201, {"group_name": "g", "role": "administrator"})
    provider.person |= {"groups": ["g"]}
    provider.changes = changes
    browser, answer = await journey(world)
    assert answer.status_code == 503
    assert (await browser.get("/api/v1/account")).status_code == 401


async def test_what_another_key_has_signed_opens_nothing(
    world: World, provider: OidcProvider
) -> None:
    provider.signed_with = RSAKey.generate_key(2048, {"kid": "1"})
    assert (await journey(world))[1].status_code == 503


async def test_a_journey_belongs_to_one_browser(world: World, provider: OidcProvider) -> None:
    browser = world.client()
    away = await browser.get("/sign-in/elsewhere")
    cookie = next(iter(browser.cookies.jar))
    assert cookie.has_nonstandard_attr("HttpOnly")
    state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
    for client, sent in (
        (world.client(), {"code": "x", "state": state}), (browser, {"code": "x", "state": "y"}),
        (browser, {"state": state}), (browser, {}), (browser, {"error": "access_denied"}),
    ):  # fmt: skip
        answer = await client.get("/sign-in/done", params=sent)
        assert answer.status_code == 400 and "Try again" in answer.text
    wrong = await browser.get("/sign-in/done", params={"code": "forged", "state": state})
    assert wrong.status_code == 503


async def test_a_provider_that_is_away_or_another_one(world: World, provider: OidcProvider) -> None:
    provider.about = {"issuer": "http://other"}
    assert (await journey(world))[1].status_code == 503
    provider.about = {"token_endpoint": "http://elsewhere.example/token"}
    assert (await journey(world))[1].status_code == 503
    for issuer in (f"http://127.0.0.1:{free_port()}", "http://id.example"):
        changed = world.runtime.settings.model_copy(update={"oidc_issuer": issuer})
        object.__setattr__(world.runtime, "settings", changed)
        world.app.state.provider = None
        assert (await journey(world))[1].status_code == 503
    await world.signed_in("viewer")


async def test_without_a_provider_there_is_no_such_page(world: World) -> None:
    changed = world.runtime.settings.model_copy(update={"oidc_issuer": None})
    object.__setattr__(world.runtime, "settings", changed)
    assert (await world.client().get("/sign-in/elsewhere")).status_code == 404
    assert "elsewhere" not in (await world.client().get("/sign-in")).text
