"""A project administrator's whole day in a real browser, over the services as processes: from the
first account of a new Sluse to studies that have arrived at the research PACS.
"""

from pathlib import Path

from playwright.async_api import Page, expect

from demo.phantoms import Maker
from tests.browser import browsing, good, new_page
from tests.e2e.deployment import Deployment
from tests.e2e.test_journey import held, save
from tests.importing import cd
from tests.integration.test_browser_fixtures import needs_chromium
from tests.servers import dcmtk
from tests.servers.orthanc import Orthanc

pytestmark = needs_chromium

SECRET = "correct horse battery"
PATIENCE = 60_000  # ms; the machine may be busy


async def sign_in(page: Page, username: str) -> None:
    await page.goto("/sign-in")
    await page.fill("input[name=username]", username)
    await page.fill("input[name=password]", SECRET)
    await page.click("main button")
    await page.wait_for_url("/")


async def set_up(page: Page, pacs: Orthanc) -> None:
    """What an administrator does on the first morning."""
    await page.goto("/")
    await page.click("text=Enter the first administrator")
    await page.fill("input[name=username]", "ola")
    await page.fill("input[name=password]", SECRET)
    await page.fill("input[name=again]", SECRET)
    await page.click("main button")
    await page.wait_for_url("**/sign-in")
    await sign_in(page, "ola")
    await page.goto("/administration/destinations/new")
    for name, value in (
        ("name", "Research PACS"), ("ae_title", pacs.ae_title), ("host", "127.0.0.1"),
        ("port", str(pacs.dicom_port)),
    ):  # fmt: skip
        await page.fill(f"#f-{name}", value)
    await page.click("button:text('Save')")
    await page.click("button:text('Echo')")
    await expect(page.locator("tbody .state")).to_contain_text("answers", timeout=PATIENCE)
    await page.goto("/administration/people")
    await page.click("summary")
    await page.fill("#f-username", "kari")
    await page.fill("#f-name", "Kari Nordmann")
    await page.fill("#f-password", SECRET)
    await page.click("button:text('Enter')")
    await page.goto("/projects/new")
    await page.fill("#f-code", "BICAM")
    await page.fill("#f-title", "Brain imaging in childhood")
    await page.fill("#f-rek_number", "2026/17")
    await page.fill("#f-participant_pattern", "DAY_{n:3}")
    await page.fill("#f-events", "baseline\nfollow-up")
    await page.select_option("#f-destination_id", index=1)
    await page.click("button:text('Enter the project')")
    await page.wait_for_url("**/members?done=entered")
    await page.fill("#f-username", "kari")
    await page.select_option("#f-role", "owner")
    await page.click("button:text('Add')")
    await expect(page.locator("tbody")).to_contain_text("kari")


async def test_from_signing_in_to_a_delivered_study(
    deployment: Deployment, research_pacs: Orthanc, tmp_path: Path
) -> None:
    address = f"http://localhost:{deployment.http_port}"
    async with browsing() as browser:
        await set_up(await new_page(browser, address), research_pacs)
        page = await new_page(browser, address)
        page.on("dialog", lambda dialog: dialog.accept())
        await sign_in(page, "kari")
        await good(page, "day-overview-before")
        await page.click("nav >> text=Assign")
        await expect(page.locator(".empty")).to_be_visible()

        # A study comes; nobody touches the page.
        study = Maker(41, size=64).ct(30)
        folder = save(study, tmp_path / "study")
        dcmtk.run("storescu", "-aec", "SLUSE", "+sd", "127.0.0.1", deployment.dicom_port, folder)
        await expect(page.locator("tbody tr")).to_have_count(1, timeout=PATIENCE)
        await page.click("tbody tr a")
        await expect(page.locator(".previews img").first).to_be_visible()
        await good(page, "day-study")

        await page.click("nav >> text=Assign")
        await page.check("tbody tr input[type=checkbox]")
        await page.click("text=Assign the chosen ones")
        await expect(page.locator("#check")).to_contain_text("Choose one of: baseline, follow-up")
        await page.select_option("#f-event", "follow-up")
        await expect(page.locator("#check")).to_contain_text("becomes participant DAY_001")
        await page.click("button:text('Assign it')")
        await page.wait_for_url("**/assign/done?*")
        await page.click("tbody td a")
        await expect(page.locator(".state").first).to_have_text("complete", timeout=PATIENCE)
        await expect(page.locator("#progress")).to_contain_text("30 assigned = 30 delivered")
        await good(page, "day-transfer")
        copies = held(research_pacs, "DAY_001")
        assert len(copies) == 30
        assert not {str(one.SOPInstanceUID) for one in study.instances} & set(copies)

        await bring_a_cd(page, tmp_path)
        assert len(held(research_pacs, "DAY_002")) == 6

        # What is not hers is refused in words; and in her own language.
        answer = await page.goto("/administration/people")
        assert answer is not None and answer.status == 403
        answer = await page.goto("/transfers/999")
        assert answer is not None and answer.status == 404
        await page.goto("/")
        await page.click("footer button:text('Norsk')")
        await expect(page.locator("h1")).to_contain_text("Oversikt")
        await good(page, "day-overview-after")
        await page.click("text=Logg ut")
        await page.wait_for_url("**/sign-in")
        await page.goto("/transfers")
        await expect(page.locator("input[name=password]")).to_be_visible()
    assert deployment.client.get("/pipeline").status_code == 401


async def bring_a_cd(page: Page, tmp_path: Path) -> None:
    """A CD from another hospital, by choosing its folder."""
    images = list(Maker(42, size=64).mr(6).instances)
    for path, content in cd(tmp_path / "made", images).items():
        file = tmp_path / "CD" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    await page.click("nav >> text=Import")
    await page.fill("#f-note", "CD from Bergen")
    await page.click("button:text('Begin an import')")
    await page.wait_for_url("**/import/1")
    await page.set_input_files("#folder", str(tmp_path / "CD"))
    await expect(page.locator("#finished")).to_be_visible(timeout=PATIENCE)
    await page.click("#finish")
    await expect(page.locator("tbody tr")).to_have_count(1, timeout=PATIENCE)
    await page.select_option("#f-event", "baseline")
    await good(page, "day-import-review")
    await page.click("button:text('Take the chosen studies')")
    await page.click("#outcome .good a[href^='/transfers/']", timeout=PATIENCE)
    await expect(page.locator(".state").first).to_have_text("complete", timeout=PATIENCE)
