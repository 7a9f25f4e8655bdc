"""Senders by form, in a real browser: entered, refused, changed, removed."""

from playwright.async_api import Page, expect

from shared import passwords
from shared.ledger.tables import Peer
from tests.browser import good
from tests.helpers import rows
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium


async def save(page: Page) -> None:
    await page.click("button:text('Save')")


async def test_a_sender_is_entered_changed_and_removed(site: Site) -> None:
    page = await site.open("root", "/administration/senders")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("text=Enter a sender")
    await good(page, "sender-new")
    await page.fill("#f-name", "MR <3>")
    await page.fill("#f-addresses", "10.1.2")
    await page.fill("#f-username", "mr3")
    await save(page)
    await expect(page.locator("#w-addresses")).to_contain_text("write it like 10.1.2.3")
    await page.fill("#f-addresses", "10.1.2.9/24")
    await save(page)
    await expect(page.locator("#w-password")).to_contain_text("Give the password")
    assert await page.input_value("#f-name") == "MR <3>"
    await good(page, "sender-refused")
    await page.fill("#f-calling_aet", "MR3")
    await page.fill("#f-password", "secret enough")
    await page.fill("#f-report_host", "mr3.local")
    await page.fill("#f-report_port", "104")
    await save(page)
    await expect(page.locator(".done")).to_contain_text("within a second")
    row = page.locator("tbody tr:has-text('MR <3>')")
    await expect(row).to_contain_text("10.1.2.0/24")
    await good(page, "senders")

    await page.click("a:text('MR <3>')")
    assert await page.input_value("#f-report_host") == "mr3.local"
    assert await page.input_value("#f-password") == ""
    await page.uncheck("[name=enabled]")
    await page.fill("#f-report_host", "")
    await page.fill("#f-report_port", "")
    await save(page)
    await expect(row).to_contain_text("off")
    (kept,) = await rows(site.runtime, Peer)
    assert (kept.report_host, kept.report_port, kept.enabled) == ("", None, False)
    assert passwords.fits(b"secret enough", kept.password_hash)  # it stays where none was given

    await page.click("a:text('MR <3>')")
    await page.fill("#f-username", "")
    await save(page)
    (kept,) = await rows(site.runtime, Peer)
    assert (kept.username, kept.password_hash) == (None, "")
    await page.click("a:text('MR <3>')")
    await page.click("button:text('Remove')")
    await expect(page.locator(".done")).to_contain_text("removed")
    assert await rows(site.runtime, Peer) == []


async def test_two_senders_do_not_have_one_name(site: Site) -> None:
    await site.root("POST", "/peers", 201, {"name": "first"})
    await site.root("POST", "/peers", 201, {"name": "second", "calling_aet": "TWO"})
    page = await site.open("root", "/administration/senders")
    await page.click("a:text('second')")
    await page.fill("#f-name", "first")
    await save(page)
    await expect(page.locator("#w-name")).to_contain_text("Another peer has this name")
    await expect(page.locator("h1")).to_have_text("second")


async def test_in_norwegian_and_on_a_telephone(site: Site) -> None:
    await site.root("POST", "/peers", 201, {"name": "MR 3", "calling_aet": "MR3"})
    page = await site.open("root", "/administration/senders/1", language="nb-NO")
    await expect(page.locator("legend").first).to_have_text("Hvem det er")
    await page.set_viewport_size({"width": 390, "height": 800})
    await good(page, "sender-narrow-nb")
    await page.emulate_media(color_scheme="dark")
    await good(page, "sender-dark-nb")


async def test_operators_see_senders_and_change_none(site: Site) -> None:
    await site.root("POST", "/peers", 201, {"name": "MR 3"})
    operator = await site.signed_in("operator")
    page = await operator.get("/administration/senders")
    assert "MR 3" in page.text and "/administration/senders/1" not in page.text
    assert (await operator.get("/administration/senders/new")).status_code == 403
    for path in ("", "/1", "/1/remove"):
        answer = await operator.post(f"/administration/senders{path}", data={"name": "x"})
        assert answer.status_code == 403
    assert [one.name for one in await rows(site.runtime, Peer)] == ["MR 3"]


async def test_what_is_not_there_can_not_be_changed(site: Site) -> None:
    client = await site.signed_in("root")
    assert (await client.get("/administration/senders/9")).status_code == 404
    assert (await client.post("/administration/senders/9", data={"name": "x"})).status_code == 404
    assert (await client.post("/administration/senders/9/remove")).status_code == 404
