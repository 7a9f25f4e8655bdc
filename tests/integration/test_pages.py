"""The pages in a real browser: live, in two languages, and within reach of everybody."""

import pytest
from playwright.async_api import expect

from tests.browser import good, objections
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium


async def test_a_study_shows_up_within_two_seconds(site: Site) -> None:
    page = await site.open("data-manager")
    received = page.locator(".tile b").first
    await expect(received).to_have_text("0")
    await site.study(1)
    await expect(received).to_have_text("2", timeout=2000)


@pytest.mark.parametrize("path", ["/sign-in", "/first-account"])
async def test_pages_for_nobody_are_within_reach(site: Site, path: str) -> None:
    page = await site.open(path=path)
    assert await objections(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_pages_are_light_or_dark(site: Site, theme: str) -> None:
    page = await site.open("data-manager")
    await page.click(f"footer button[value={theme}]")
    await page.wait_for_selector(f"html[data-theme={theme}]")
    await good(page, f"overview-{theme}")
