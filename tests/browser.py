"""A real browser (Debian's Chromium, driven by Playwright) for the tests of the pages."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

# Three browsers share two cores: what is awaited may take its time.
expect.set_options(timeout=20_000)

SHOTS = Path(os.environ.get("SLUSE_SCREENSHOTS", "build/screenshots"))
"""Where screenshots go: build output, for people to look at."""
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def find_chromium() -> str | None:
    """Where Debian's Chromium is; None when it is not installed."""
    return shutil.which("chromium")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A headless browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def new_page(browser: Browser, address: str, language: str = "en-GB") -> Page:
    """A page of somebody who has not been here before."""
    context: BrowserContext = await browser.new_context(
        base_url=address, locale=language, viewport={"width": 1280, "height": 900}
    )
    page = await context.new_page()
    page.set_default_timeout(15_000)
    return page


async def shoot(page: Page, name: str) -> None:
    """Keep what the page looks like."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png",
                          full_page=True)  # fmt: skip


async def good(page: Page, name: str) -> None:
    """Keep what the page looks like; it must be within everybody's reach."""
    await shoot(page, name)
    assert await objections(page) == []


async def objections(page: Page) -> list[str]:
    """What axe-core has against a page, by WCAG 2.1 A and AA; empty for nothing."""
    # The pages let no script in that is not theirs; Playwright's own way goes around that.
    await page.evaluate(Path(AXE_FILE_PATH).read_text())
    found = await page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", _RULES
    )
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
