"""Assigning, following and correcting on the pages, in a real browser."""

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from demo.phantoms import Maker
from shared.ledger.auditing import Action
from shared.ledger.tables import AuditEvent, Transfer
from tests.browser import good
from tests.helpers import rows
from tests.integration.test_api_fixtures import assign, receive
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

EVIL = '<img src=x onerror="document.title=1">&"\'<b>'


async def evil_study(site: Site, seed: int, patient: str = EVIL) -> None:
    images = list(Maker(seed, size=16).ct(2).instances)
    for image in images:
        image.PatientID, image.PatientName = f"P{seed}", patient
        image.StudyDescription = image.SeriesDescription = EVIL[:60]
    await receive(site.runtime, images)


async def test_studies_are_assigned_and_taken_back(site: Site) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {
        "participant_pattern": "AAA_{n:3}", "events": ["baseline", "follow-up"],
        "title": "A very long title of a project that nobody can read in one breath, " * 2 + "ever",
    })  # fmt: skip
    page = await site.open("data-manager", "/assign")
    await expect(page.locator(".empty")).to_contain_text("Every study that you may assign")
    await good(page, "assign-empty")
    await evil_study(site, 1)
    await evil_study(site, 2, "Nordmann^Kari")
    await expect(page.locator("tbody tr")).to_have_count(2, timeout=2500)
    await expect(page.locator("tbody")).to_contain_text(EVIL)  # as text, not as HTML
    assert await page.title() == "Assign · Sluse"
    await page.check('th input[type="checkbox"]')
    await good(page, "assign")
    await page.uncheck('th input[type="checkbox"]')
    await page.click("text=Assign the chosen ones")
    await expect(page.locator(".complaint")).to_contain_text("Tick the studies")
    await page.check('th input[type="checkbox"]')
    await page.click("text=Assign the chosen ones")
    await expect(page.locator("#check li.bad")).to_have_count(2)  # which event, a person says
    await expect(page.locator("#check")).to_contain_text("Choose one of: baseline, follow-up")
    await page.select_option("#f-event", "baseline")
    await expect(page.locator("#check")).to_contain_text("becomes participant AAA_002, baseline")
    await expect(page.locator(".notes").first).to_contain_text("2 patients")
    await good(page, "assign-place")
    # A participant is one person: both at once can't be the same one.
    await page.fill("#f-participant", "AAA_007")
    await expect(page.locator("#check .bad")).to_have_count(1)
    await page.fill("#f-participant", "wrong")
    await expect(page.locator("#check .bad")).to_have_count(2)
    await page.click("button:text('Assign them')")
    await expect(page.locator("#check .bad")).to_have_count(2)
    await good(page, "assign-refused")
    await page.fill("#f-participant", "")
    await page.select_option("#f-event", "follow-up")
    await page.click("button:text('Assign them')")
    await page.wait_for_url("**/assign/done?*")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("tbody tr").first).to_contain_text("follow-up")
    await good(page, "assign-done")
    await page.locator("button:text('Undo')").first.click()
    await page.wait_for_url("**/transfers/*")
    await expect(page.locator(".state")).to_have_text("recalled")
    await page.goto("/assign")
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_a_live_list_is_audited_once(site: Site) -> None:
    await site.study(1)
    page = await site.open("data-manager", "/assign")
    await site.study(2)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await site.study(3)
    await expect(page.locator("tbody tr")).to_have_count(3)
    shown = [
        one.subject["studies"]
        for one in await rows(site.runtime, AuditEvent)
        if one.action == Action.IDENTITIES_SHOWN
    ]
    assert shown == [[1], [2], [3]]


async def test_a_transfer_is_followed_and_corrected(site: Site) -> None:
    await evil_study(site, 1, "Nordmann^Kari")
    manager = await site.api("data-manager")
    made = await manager("POST", "/transfers", 201, {
        "project": "AAA", "participant": "A_1", "study_id": 1})  # fmt: skip
    await assign(site.runtime, made["id"])
    page = await site.open("data-manager", f"/transfers/{made['id']}")
    await expect(page.locator("#progress")).to_contain_text("2 assigned = 0 delivered")
    await expect(page.locator("tbody")).to_contain_text(EVIL[:60])
    await page.click("summary")
    await page.fill("#f-participant", "bad id")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("button:text('Correct it')")
    await expect(page.locator("p.wrong")).to_contain_text("does not fit the project's pattern")
    assert await page.input_value("#f-participant") == "bad id"
    await good(page, "transfer-refused")
    # Another language leads back to a page that is there.
    await page.click("footer button:text('Norsk')")
    await expect(page.locator("h1")).to_have_text("Overføring 1: A_1 i AAA")
    await page.click("footer button:text('English')")
    await page.click("summary")
    await page.fill("#f-participant", "A_2")
    await page.click("button:text('Correct it')")
    await page.wait_for_url("**/transfers/2")
    await good(page, "transfer")
    await page.goto("/transfers/1/images")
    await good(page, "transfer-images")
    await page.goto("/transfers?state=recalled")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await good(page, "transfers")
    # Who may only look sees no names and no buttons.
    viewer = await site.open("viewer", "/transfers/2")
    await expect(viewer.locator("tbody, .empty").first).not_to_contain_text("img")
    assert await viewer.locator("main button").count() == 0
    answer = await viewer.goto("/studies/1")
    assert answer is not None and answer.status == 403
    await good(viewer, "refused")


@pytest.mark.parametrize("path", ["/transfers/1", "/transfers/1/images", "/studies/1"])
async def test_what_is_another_projects_is_not_there(site: Site, path: str) -> None:
    await site.study(1)
    await site.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "data-manager"})
    other = await site.api("nobody")
    wanted = {"project": "BBB", "participant": "B_1", "study_id": 1}
    await other("POST", "/transfers", 201, wanted)
    page = await site.open("data-manager")
    answer = await page.goto(path)
    assert answer is not None and answer.status == 404
    assert "BBB" not in await page.content()


async def test_the_calendar_leads_to_a_days_studies(site: Site) -> None:
    images = list(Maker(3, size=16).ct(2).instances)
    for image in images:
        image.StudyDate = "20240229"
    await receive(site.runtime, images)
    page = await site.open("data-manager", "/?month=2024-02", language="nb-NO")
    await expect(page.locator("#month")).to_have_text("Februar 2024")
    await good(page, "overview-nb")
    await page.click("td:has(.day:text('29')) a")
    await expect(page.locator("h1")).to_have_text("Undersøkelser 2024-02-29")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await good(page, "studies-nb")
    await page.click("tbody a")
    await good(page, "study-nb")
    await page.goto("/studies")
    await page.fill("#f-text", str(images[0].AccessionNumber))
    await page.click("button:text('Finn')")
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_what_is_shown_is_what_another_project_gets(site: Site) -> None:
    """Both projects have an event of one name: it is not taken for one that stays as it is."""
    for code in ("AAA", "BBB"):
        body = {"participant_pattern": code + "_{n:3}", "events": ["baseline", "later"]}
        await site.root("PATCH", f"/projects/{code}", 200, body)
    await site.root("PUT", "/projects/BBB/members/data-manager", 200, {"role": "data-manager"})
    await site.study(1)
    manager = await site.api("data-manager")
    wanted = {"project": "AAA", "study_id": 1, "event": "later"}
    await manager("POST", "/transfers", 201, wanted)
    page = await site.open("data-manager", "/transfers/1")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("summary")
    await page.select_option("#f-project", "BBB")
    await page.fill("#f-participant", "")
    await page.click("button:text('Correct it')")
    await page.wait_for_url("**/transfers/2")
    await expect(page.locator("h1")).to_have_text("Transfer 2: BBB_001 in BBB")
    await expect(page.locator("dl.facts")).to_contain_text("later")


async def test_who_clicks_twice_means_once(site: Site) -> None:
    """On a slow network nothing happens at once, and people click again."""
    await site.root("PATCH", "/projects/AAA", 200, {"participant_pattern": "AAA_{n:3}"})
    await site.study(1)
    page = await site.open("data-manager", "/assign/choose?study=1&project=AAA")
    await expect(page.locator("#check .good")).to_have_count(1)

    async def late(route: Route) -> None:
        await asyncio.sleep(0.7)
        await route.continue_()

    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    await page.route("**/assign", late)
    button = page.locator("button:text('Assign it')")
    await button.dblclick(no_wait_after=True)
    await page.wait_for_url("**/assign/done?*")
    assert [one.rpartition("/")[2] for one in sent] == ["assign"]
    assert len(await rows(site.runtime, Transfer)) == 1
    # Whoever goes back can press it again.
    await page.go_back()
    await expect(page.locator("button:text('Assign it')")).to_be_enabled()


async def test_many_tabs_are_live(site: Site) -> None:
    """A browser keeps six connections to a host; a tab that nobody looks at keeps none."""
    first = await site.open("data-manager", "/assign")
    tabs = [await first.context.new_page() for _ in range(8)]
    for tab in tabs:
        # Headless, all tabs count as looked at; so this one is said to be left.
        await tab.goto("/transfers")
        await leave(tab)
    last = await first.context.new_page()
    await last.goto("/assign", timeout=10_000)
    await site.study(1)
    await expect(last.locator("tbody tr")).to_have_count(1)
    await expect(first.locator("tbody tr")).to_have_count(1)


async def leave(tab: Page) -> None:
    await tab.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


async def test_a_tab_that_is_looked_at_again_catches_up(site: Site) -> None:
    page = await site.open("data-manager", "/assign")
    await leave(page)
    await site.study(1)
    await asyncio.sleep(1.5)
    await expect(page.locator("tbody tr")).to_have_count(0)
    await page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: false, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_what_is_chosen_before_the_script_has_come_counts(site: Site) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {
        "participant_pattern": "AAA_{n:3}", "events": ["baseline", "follow-up"]})  # fmt: skip
    await site.study(1)
    page = await site.open("data-manager", "/assign")
    came = asyncio.Event()

    async def late(route: Route) -> None:
        await came.wait()
        await route.continue_()

    await page.route("**/*.js", late)
    await page.goto("/assign/choose?study=1&project=AAA", wait_until="commit")
    await expect(page.locator("#check .bad")).to_have_count(1)
    await page.select_option("#f-event", "follow-up")
    came.set()
    await expect(page.locator("#check .good")).to_contain_text("follow-up")
