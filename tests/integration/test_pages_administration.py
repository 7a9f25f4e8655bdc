"""The pages of those who run Sluse, in a real browser."""

import httpx
import pytest
from playwright.async_api import expect
from sqlalchemy import insert

from shared.clock import now
from shared.ledger.tables import Account, core
from tests.browser import good
from tests.integration.test_api_fixtures import receive
from tests.integration.test_browser_fixtures import Site, needs_chromium
from tests.servers.common import free_port

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium


async def test_people_are_entered_changed_and_removed(site: Site) -> None:
    page = await site.open("root", "/administration/people")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("summary")
    await page.fill("#f-username", "kari")
    await page.fill("#f-name", "<b>Kari</b> Nordmann")
    await page.fill("#f-password", "short")
    await page.click("button:text('Enter')")
    await expect(page.locator("p.wrong")).to_contain_text("A password has")
    assert await page.input_value("#f-name") == "<b>Kari</b> Nordmann"
    await good(page, "people-refused")
    await page.fill("#f-password", "correct horse battery")
    await page.click("button:text('Enter')")
    await expect(page.locator("tbody tr:has-text('kari')")).to_contain_text("<b>Kari</b> Nordmann")
    await good(page, "people")
    await page.click("a:text('kari')")
    await page.uncheck("[name=enabled]")
    await good(page, "one-person")
    await page.click("button:text('Save')")
    await expect(page.locator("tbody tr:has-text('kari')")).to_contain_text("no")
    await page.click("a:text('kari')")
    await page.click("button:text('Remove')")
    await page.wait_for_url("**/administration/people")
    await expect(page.locator("tbody tr:has-text('kari')")).to_have_count(0)


async def test_a_destination_is_entered_and_tried(site: Site) -> None:
    page = await site.open("root", "/administration/destinations")
    await page.click("text=Enter a destination")
    await page.fill("#f-name", "second")
    await page.click("button:text('Save')")
    await expect(page.locator("p.wrong")).to_have_count(3)
    await good(page, "destination-refused")
    await page.fill("#f-ae_title", "SECOND")
    await page.fill("#f-host", "127.0.0.1")
    await page.fill("#f-port", str(free_port()))
    await page.fill("#f-hours", "22:00-06:00")
    await page.click("button:text('Save')")
    row = page.locator("tbody tr:has-text('second')")
    await expect(row).to_contain_text("22:00-06:00")
    await row.locator("button").click()
    await expect(row.locator(".state")).to_contain_text("does not answer")
    await good(page, "destinations")
    await page.route("**/*.js", lambda route: route.abort())  # the script has not come yet
    await page.reload()
    await row.locator("button").click()
    await expect(row.locator(".state")).to_contain_text("does not answer")
    await page.click("a:text('second')")
    assert await page.input_value("#f-ae_title") == "SECOND"
    await page.fill("#f-hours", "")
    await page.click("button:text('Save')")
    await expect(row).to_contain_text("always")


async def test_a_token_is_shown_once_and_taken_away(site: Site) -> None:
    page = await site.open("data-manager", "/account")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("summary:text('Make a token')")
    await page.fill("#f-name", "workflow")
    await good(page, "account")
    await page.click("button:text('Make a token')")
    token = await page.input_value(".done input")
    async with httpx.AsyncClient(base_url=site.address, trust_env=False) as client:
        headers = {"authorization": f"Bearer {token}"}
        assert (await client.get("/api/v1/projects", headers=headers)).is_success
        await page.goto("/account")
        assert token not in await page.content()
        await page.click("button:text('Take away')")
        await expect(page.locator("tbody")).to_have_count(0)
        assert (await client.get("/api/v1/projects", headers=headers)).status_code == 401
    await page.click("summary:text('Change your password')")
    await page.fill("#f-old", "wrong")
    await page.fill("#f-new", "another horse battery")
    await page.fill("#f-again", "another horse battery")
    await page.click("button:text('Change your password')")
    await expect(page.locator("p.wrong")).to_contain_text("This is not your password")


async def test_operators_see_how_it_runs(site: Site) -> None:
    await receive(site.runtime, [b"rubbish"])
    page = await site.open("operator", "/administration", language="nb-NO")
    await expect(page.locator("h1")).to_have_text("Tilstand")
    await good(page, "health-nb")
    for path in ("quarantine", "dead-letters", "senders", "destinations"):
        await page.goto(f"/administration/{path}")
        await good(page, f"{path}-nb")
    assert await page.locator("a:text('Personer')").count() == 0
    answer = await page.goto("/administration/people")
    assert answer is not None and answer.status == 403


async def test_a_thousand_people_are_found(site: Site) -> None:
    people = [
        {"username": f"p{number:04}", "name": f"Åse <{number}>", "source": "ldap",
         "password_hash": "", "system_role": "", "directory_role": "", "language": "",
         "enabled": number % 10 != 0, "created_at": now()}
        for number in range(1000)
    ]  # fmt: skip
    people[7] |= {"directory_role": "operator"}
    async with site.runtime.ledger.transaction() as connection:
        await connection.execute(insert(core(Account)), people)
    page = await site.open("root", "/administration/people", language="nb-NO")
    await expect(page.locator("main p[role=status]")).to_have_text("1\u00a0007 personer")
    await expect(page.locator("tbody tr")).to_have_count(50)
    await good(page, "people-many-nb")
    await page.click("a:text('Flere')")
    await expect(page.locator("tbody tr").first).not_to_contain_text("data-entry")
    await page.fill("#f-search", "ÅSE <7")
    await page.select_option("#f-enabled", "no")
    await page.click("button:text('Vis')")
    await expect(page.locator("main p[role=status]")).to_have_text("11 personer")
    await expect(page.locator("tbody tr")).to_have_count(11)
    await page.fill("#f-search", "%")
    await page.click("button:text('Vis')")
    await expect(page.locator(".empty")).to_be_visible()
    await page.goto("/administration/people?role=operator")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("tbody tr:has-text('p0007')")).to_contain_text("fra en gruppe")
    await page.set_viewport_size({"width": 390, "height": 800})
    await good(page, "people-narrow-nb")
    for path in ("?role=nonsense&enabled=nonsense&after=%00", "?search=" + "x" * 65):
        answer = await page.goto(f"/administration/people{path}")
        assert answer is not None and answer.status in (200, 422)


async def test_administrators_take_tokens_away(site: Site) -> None:
    owner = await site.api("owner")
    wish = {"name": "flow <1>", "rights": ["view"], "project": "AAA"}
    made = await owner("POST", "/tokens", 201, wish)
    people = await site.root("GET", "/accounts", 200)
    number = next(one["id"] for one in people if one["username"] == "owner")
    page = await site.open("root", f"/administration/people/{number}")
    page.on("dialog", lambda dialog: dialog.accept())
    await expect(page.locator("tbody tr")).to_contain_text("flow <1>")
    assert made["token"] not in await page.content()
    await good(page, "person-with-token")
    await page.click("button:text('Take away')")
    await expect(page.locator(".empty")).to_contain_text("made none")
    async with httpx.AsyncClient(base_url=site.address, trust_env=False) as client:
        headers = {"authorization": f"Bearer {made['token']}"}
        assert (await client.get("/api/v1/projects", headers=headers)).status_code == 401


async def test_groups_have_roles(site: Site) -> None:
    page = await site.open("root", "/administration/groups")
    page.on("dialog", lambda dialog: dialog.accept())
    await expect(page.locator(".complaint")).to_contain_text("SLUSE_LDAP_URL")
    await expect(page.locator(".empty")).to_contain_text("No group has a role yet")
    await page.click("summary")
    await page.fill("#f-group_name", "Research <1>")
    await page.select_option("#f-role", "owner")
    await page.click("button:text('Enter')")
    await expect(page.locator("#w-role")).to_contain_text("not a role of the system")
    await good(page, "groups-refused")
    await page.select_option("#f-project", "AAA")
    await page.click("button:text('Enter')")
    settings = site.runtime.settings.model_copy(
        update={"ldap_url": "ldap://directory", "ldap_groups": "ou=groups,dc=hospital"}
    )
    object.__setattr__(site.runtime, "settings", settings)
    name = "CN=Research\\, MR,OU=Groups,OU=Radiology and nuclear medicine,DC=hospital,DC=local"
    await page.click("summary")
    await page.fill("#f-group_name", name)
    await page.select_option("#f-role", "administrator")
    await page.click("button:text('Enter')")
    short, whole = page.locator("tbody tr:has-text('<1>')"), page.locator("tbody tr:has-text('MR')")
    await expect(short).to_contain_text("each of this name below ou=groups,dc=hospital")
    await expect(whole).to_contain_text("this one only")
    await expect(page.locator(".complaint")).to_have_count(0)
    await good(page, "groups")
    await whole.locator("button").click()
    await expect(page.locator(".done")).to_contain_text("from everybody at once")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.click("footer button[lang=nb]")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.emulate_media(color_scheme="dark")
    await good(page, "groups-narrow-nb")
    await expect(page.locator("h1")).to_have_text("Grupper")


@pytest.mark.parametrize(
    "path",
    ["", "/people", "/destinations", "/senders", "/dead-letters", "/groups", "/rule-sets"],
)
async def test_others_do_not(site: Site, path: str) -> None:
    owner = await site.signed_in("owner")
    answer = await owner.get(f"/administration{path}", headers={"accept": "text/html"})
    assert answer.status_code == 403
    assert "This is for" in answer.text and "<html" in answer.text


@pytest.mark.parametrize(
    "path", ["/administration/dead-letters", "/administration/quarantine", "/transfers", "/studies"]
)
async def test_a_place_in_a_list_that_can_not_be_is_refused(site: Site, path: str) -> None:
    page = await site.open("data-manager" if path in ("/transfers", "/studies") else "operator")
    answer = await page.goto(f"{path}?after=99999999999999999999")
    assert answer is not None and answer.status == 422
