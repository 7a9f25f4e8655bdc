"""Webhooks in a real browser: of the whole system and of a project."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect
from sqlalchemy import insert

from services.api.webhooks.sending import Sender
from shared.ledger.tables import Webhook, WebhookDelivery, core
from shared.ledger.telling import rows as entries
from tests.browser import good
from tests.helpers import rows
from tests.integration.test_browser_fixtures import Site, needs_chromium
from tests.servers.webpacs import WebPacs, web_pacs

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium


class Other:
    """Another system, and what it answers."""

    status = 204
    pacs: WebPacs


@pytest.fixture
def other() -> Iterator[Other]:
    made = Other()
    with web_pacs(lambda _: (made.status, b"")) as running:
        made.pacs = running
        yield made


async def test_one_of_the_whole_system_is_entered_tried_changed_and_removed(
    site: Site, other: Other
) -> None:
    page = await site.open("root", "/administration/webhooks")
    page.on("dialog", lambda dialog: dialog.accept())
    await expect(page.locator(".empty")).to_contain_text("no webhook yet")
    await page.click("summary")
    await page.fill("#f-name", "flow <1>")
    await page.fill("#f-url", "http://93.184.216.34/hook")
    await page.uncheck("[value='transfer.complete']")
    await page.click("button:text('Enter')")
    await expect(page.locator("p.wrong")).to_contain_text("need https")
    assert not await page.is_checked("[value='transfer.complete']")
    await good(page, "webhooks-refused")
    await page.fill("#f-url", other.pacs.url)
    await page.click("button:text('Enter')")
    secret = await page.input_value(".done input")
    assert secret.startswith("whsec_")
    await good(page, "webhook-entered")
    await page.goto("/administration/webhooks")
    assert secret not in await page.content()
    await expect(page.locator("tbody tr")).to_contain_text("told nothing so far")

    await page.click("a:text('flow <1>')")
    await page.click("button:text('Send a test')")
    await expect(page.locator(".done")).to_contain_text("answered with 204")
    assert [one.headers["Sluse-Event"] for one in other.pacs.asked] == ["webhook.test"]
    other.status = 503
    await page.click("button:text('Send a test')")
    await expect(page.locator(".complaint")).to_contain_text("answered with 503")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await good(page, "webhook")

    await page.click("summary:text('Change it')")
    await page.uncheck("[value='study.settled']")
    await page.uncheck("[value='transfer.attention']")
    await page.click("button:text('Save')")
    await expect(page.locator("p.wrong")).to_have_count(1)
    await page.check("[value='study.settled']")
    await page.fill("#f-name", "second")
    await page.click("button:text('Save')")
    await expect(page.locator("h1")).to_have_text("second")
    (kept,) = await rows(site.runtime, Webhook)
    assert (kept.events, kept.enabled) == (["study.settled"], True)
    await page.click("button:text('Switch off')")
    await expect(page.locator("dd").first).to_have_text("off")
    await page.click("button:text('Switch on')")
    await expect(page.locator("dd").first).to_have_text("does not take it")
    await page.click("button:text('Remove')")
    await expect(page.locator(".done")).to_contain_text("was removed")
    assert await rows(site.runtime, Webhook) == []


async def test_owners_have_those_of_their_project(site: Site, other: Other) -> None:
    body = {"name": "of BBB", "url": "https://other.local", "events": ["transfer.complete"]}
    await site.root("POST", "/webhooks", 201, body | {"project": "BBB"})
    page = await site.open("owner", "/projects/AAA", language="nb-NO")
    await page.click("a:text('Webhooker')")
    await page.click("summary")
    await expect(page.locator("[name=events]")).to_have_count(2)  # studies have no project yet
    await page.fill("#f-name", "vårt system")
    await page.fill("#f-url", "https://system.hospital.local/sluse")
    await page.click("button:text('Legg inn')")
    await page.click(".done a")
    await expect(page.locator("nav.rooms [aria-current]")).to_have_text("Webhooker")
    (_, kept) = await rows(site.runtime, Webhook)
    assert (kept.project_id, kept.enabled) == (1, True)
    async with site.runtime.ledger.transaction() as connection:
        for values in entries("transfer.complete", {}, [kept.id]):
            await connection.execute(insert(core(WebhookDelivery)).values(values))
    sender = Sender(site.runtime)
    await sender.look()
    await sender.settle()
    await page.reload()
    await expect(page.locator("tbody tr")).to_contain_text("prøves igjen")
    await expect(page.locator("tbody tr")).to_contain_text("en overføring er fullført")
    await good(page, "project-webhook-nb")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.emulate_media(color_scheme="dark")
    await good(page, "project-webhook-narrow-nb")
    await page.click("a:text('Tilbake')")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await good(page, "project-webhooks-narrow-nb")


async def test_others_know_nothing_of_them(site: Site) -> None:
    body = {"name": "x", "url": "https://other.local", "events": ["transfer.complete"]}
    await site.root("POST", "/webhooks", 201, body)
    await site.root("POST", "/webhooks", 201, body | {"project": "BBB"})
    owner = await site.signed_in("owner")
    assert (await owner.get("/administration/webhooks")).status_code == 403
    assert (await owner.get("/projects/BBB/webhooks")).status_code == 404
    assert (await owner.post("/projects/BBB/webhooks", data=body)).status_code == 404
    for number in (1, 2):
        assert (await owner.get(f"/webhooks/{number}")).status_code == 404
        for button in ("", "/switch", "/test", "/remove"):
            answer = await owner.post(f"/webhooks/{number}{button}", data=body)
            assert answer.status_code == 404, button
    manager = await site.signed_in("data-manager")
    assert (await manager.get("/projects/AAA/webhooks")).status_code == 403
    assert (await manager.get("/webhooks/1")).status_code == 403
    assert "/webhooks" not in (await manager.get("/projects/AAA")).text
    assert [one.name for one in await rows(site.runtime, Webhook)] == ["x", "x"]
