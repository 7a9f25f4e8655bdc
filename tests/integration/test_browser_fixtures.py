"""What the tests in a browser share: pages of two projects and their people, served for real."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from playwright.async_api import Browser, Page

from shared.runtime import open_runtime
from shared.settings import Settings
from tests.browser import browsing, find_chromium, new_page
from tests.integration.test_people_fixtures import PASSWORD, World
from tests.servers.common import free_port

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")


class Site(World):
    """The same world with an address, and pages that people open."""

    address: str
    browser: Browser

    async def open(self, username: str = "", path: str = "/", language: str = "en-GB") -> Page:
        """A page as somebody sees it who has signed in; as nobody without a user name."""
        page = await new_page(self.browser, self.address, language)
        if username:
            await page.goto("/sign-in")
            await page.fill("input[name=username]", username)
            await page.fill("input[name=password]", PASSWORD)
            await page.click("main button")
            await page.wait_for_url("/")
        if path != "/" or not username:
            await page.goto(path)
        return page


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    settings.spool_path.parent.mkdir(parents=True, exist_ok=True)
    async with open_runtime(settings, "tests", migrating=True) as runtime, browsing() as browser:
        made = Site(runtime)
        await made.set_up()
        port = free_port()
        config = uvicorn.Config(
            made.app, port=port, lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.05)
        made.address, made.browser = f"http://localhost:{port}", browser
        yield made
        made.app.state.live.close()
        server.should_exit = True
        await serving
        for client in made.clients:
            await client.aclose()
