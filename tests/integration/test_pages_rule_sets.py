"""Rule sets in a real browser: which there are, where they are used, and their rows."""

import csv
import hashlib
from importlib.resources import files
from io import StringIO

from playwright.async_api import expect
from sqlalchemy import update

from shared import profile
from shared.ledger.tables import Series, core
from shared.profile.tables import rows, source_profile
from tests.browser import good
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

STRICT = '{"format": 1, "name": "strict", "base": "ps3.15"}'


async def test_which_there_are_and_where_they_are_used(site: Site) -> None:
    await site.root("PATCH", "/projects/BBB", 200, {"profile": STRICT})
    page = await site.open("root", "/administration")
    await page.click("a:text('Rule sets')")
    await expect(page.locator("dd").nth(1)).to_contain_text("no series is here yet")
    source = page.locator("tr:has-text('source-2019')")
    await expect(source).to_contain_text("AAA")
    await expect(source.locator(".number")).to_have_text(str(len(source_profile())))
    strict = page.locator("tr:has(a:text-is('ps3.15'))")
    await expect(strict).to_contain_text("BBB")
    digest = hashlib.sha256(files(profile).joinpath("ps315.csv").read_bytes()).hexdigest()
    await expect(strict).to_contain_text(digest[:12])
    await expect(strict).not_to_contain_text("AAA")
    await expect(strict).not_to_contain_text("rules of its own")
    own = STRICT.replace("}", ', "contents": {"overlays": "remove"}}')
    await site.root("PATCH", "/projects/BBB", 200, {"profile": own})
    await page.reload()
    await expect(strict).to_contain_text("with rules of its own")

    await site.study(1)
    labels = {"labels": ["T1", "<b>"], "state": {"rules": "f00dcafe" * 8, "outcomes": []}}
    async with site.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Series)).values(labels=labels))
    await page.reload()
    await expect(page.locator("dd").nth(1)).to_contain_text("f00dcafef00d on 1 series")
    await expect(page.locator("tr:has-text('<b>')")).to_contain_text("1")
    await good(page, "rule-sets")


async def test_rows_are_searched_and_downloaded(site: Site) -> None:
    page = await site.open("root", "/administration/rule-sets/source-2019", language="nb-NO")
    await expect(page.locator("main p[role=status]")).to_have_text("266 rader")
    await expect(page.locator("tbody tr")).to_have_count(100)
    await page.click("a:text('Flere')")
    await page.click("a:text('Flere')")
    await expect(page.locator("tbody tr")).to_have_count(66)
    await page.fill("#f-search", "institutionname")
    await page.click("main button:text('Søk')")
    await expect(page.locator("tbody tr")).to_have_count(1)
    # What was settled goes before the 2019 table.
    await expect(page.locator("tbody tr")).to_contain_text("PROJECTNAME")
    await good(page, "rule-set-nb")
    await page.fill("#f-search", "<nothing>")
    await page.click("main button:text('Søk')")
    await expect(page.locator(".empty")).to_contain_text("Ingen rad")
    await page.goto("/administration/rule-sets/ps3.15")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.emulate_media(color_scheme="dark")
    await good(page, "rule-set-narrow-nb")

    client = await site.signed_in("root")
    answer = await client.get("/administration/rule-sets/ps3.15/rows.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="ps3.15.csv"'
    found = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    assert found == rows("ps315.csv")
    for path in ("nonsense", "..%2fsettled", "nonsense/rows.csv"):
        assert (await client.get(f"/administration/rule-sets/{path}")).status_code == 404


async def test_they_are_for_administrators(site: Site) -> None:
    operator = await site.signed_in("operator")
    for path in ("", "/source-2019", "/source-2019/rows.csv"):
        assert (await operator.get(f"/administration/rule-sets{path}")).status_code == 403
