"""How long a project keeps its files, and a study's legal hold, in a real browser."""

from playwright.async_api import expect
from sqlalchemy import update

from shared.clock import now
from shared.ledger.tables import Instance, Series, Study, core
from tests.browser import good
from tests.integration.test_browser_fixtures import Site, needs_chromium
from tests.norwegian import english_on

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium


async def test_an_owner_says_how_long_files_are_kept(site: Site) -> None:
    page = await site.open("owner", "/projects/AAA/edit")
    await expect(page.locator("#f-keep_originals_days")).to_have_value("")
    await expect(page.locator("#f-keep_copies_days")).to_have_value("7")
    await page.fill("#f-keep_originals_days", "0")
    await page.evaluate("document.querySelector('main form').noValidate = true")
    await page.click("main button:has-text('Save')")
    await expect(page.locator("#w-keep_originals_days")).to_contain_text("Give 1 or more.")
    await page.fill("#f-keep_originals_days", "365")
    await page.fill("#f-keep_copies_days", "")
    await good(page, "project-keeping")
    await page.click("main button:has-text('Save')")
    await expect(page.locator("main")).to_contain_text("365 days after delivery")
    read = await site.root("GET", "/projects/AAA", 200)
    assert (read["keep_originals_days"], read["keep_copies_days"]) == (365, None)
    page = await site.open("owner", "/projects/AAA", "nb-NO")
    await expect(page.locator("main")).to_contain_text("365 dager etter levering")
    assert await english_on(page, entered=("English",)) == []


async def test_a_hold_is_set_and_lifted_on_the_studys_page(site: Site) -> None:
    await site.study(1)
    page = await site.open("data-manager", "/studies/1")
    await page.click("summary:has-text('Legal hold')")
    await page.fill("#f-reason", "x")
    await page.click("text=Set a legal hold")
    await expect(page.locator("#w-reason")).to_contain_text("too short")
    await good(page, "study-hold-wrong")
    await page.fill("#f-reason", "<b>Complaint</b>")
    await page.click("text=Set a legal hold")
    await expect(page.locator("#hold")).to_contain_text("<b>Complaint</b>")
    await expect(page.locator("#hold")).to_contain_text("data-manager")
    await good(page, "study-hold")
    norwegian = await site.open("data-manager", "/studies/1", "nb-NO")
    await expect(norwegian.locator("#hold h2")).to_have_text("Båndlegging")
    await page.click("text=Lift the hold")
    await expect(page.locator("summary:has-text('Legal hold')")).to_be_visible()


async def test_a_study_says_what_was_removed(site: Site) -> None:
    await site.study(1)
    async with site.runtime.ledger.transaction() as connection:
        for model, values in (
            (Study, {"evicted": 1, "evicted_at": now()}), (Series, {"evicted": 1}),
        ):  # fmt: skip
            await connection.execute(update(core(model)).values(values))
        await connection.execute(
            update(core(Instance)).where(core(Instance).c.id == 1).values(keeping="evicted")
        )
    page = await site.open("data-manager", "/studies/1")
    await expect(page.locator(".complaint")).to_contain_text("original images were removed")
    await expect(page.locator(".previews")).to_contain_text("1 removed here")
    await good(page, "study-removed")
    page = await site.open("data-manager", "/studies/1", "nb-NO")
    await expect(page.locator(".complaint")).to_contain_text("er fjernet etter fristen")
    assert await english_on(page, entered=("English",)) == []
