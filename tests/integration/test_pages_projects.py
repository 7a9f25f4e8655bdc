"""The pages of projects, in a real browser."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import good
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

HTML = "<b>bold</b> & <script>alert(1)</script>"


async def test_an_administrator_enters_a_project_and_changes_it(site: Site) -> None:
    page = await site.open("root", "/projects")
    await page.click("text=New project")
    await expect(page.locator("#f-number")).to_have_value("P26_01")
    await page.fill("#f-code", "bicam")
    await page.fill("#f-title", HTML)
    await page.fill("#f-participant_pattern", "BICAM{site:2}_{m:4}")
    await expect(page.locator("#examples")).to_contain_text("the fields")
    await page.fill("#f-participant_pattern", "BICAM{site:2}_{n:4}")
    await page.fill("#f-sites", "Bergen = 01\nFørde")
    await expect(page.locator("#examples")).to_contain_text("BICAM01_0002")
    await page.fill("#f-events", "baseline\nyear1\n")
    await page.fill("#f-rek_start", "2020-01-01")
    await page.fill("#f-rek_end", "2026-12-31")
    await page.select_option("#f-destination_id", "1")
    await page.click("text=Enter the project")
    await expect(page.locator("#w-code")).to_contain_text("3 to 16 capitals")
    await expect(page.locator("#f-title")).to_have_value(HTML)
    await expect(page.locator("#f-sites")).to_have_value("Bergen = 01\nFørde")
    await expect(page.locator("#f-destination_id")).to_have_value("1")
    await good(page, "project-new-wrong")
    await page.fill("#f-code", "BICAM")
    await page.click("text=Enter the project")
    await expect(page.locator("#w-sites")).to_contain_text("Førde: give a code of 2")
    await page.fill("#f-sites", "Bergen = 01\nFørde = 02")
    await page.click("text=Enter the project")
    await page.wait_for_url("**/projects/BICAM/members**")
    await expect(page.locator("h1")).to_contain_text(HTML)
    await good(page, "project-members-none")

    await page.goto("/projects/BICAM")
    await expect(page.locator("main")).to_contain_text("Bergen (01), Førde (02)")
    await expect(page.locator(".complaint")).to_contain_text("ends on 2026-12-31")
    await good(page, "project-empty")
    await page.click("text=Settings")
    await expect(page.locator("#f-events")).to_have_value("baseline\nyear1")
    await page.fill("#f-rek_end", "2019-12-31")
    await page.fill("#f-principal_investigator", "Kari Nordmann")
    await page.click("main button:has-text('Save')")
    await expect(page.locator("#w-rek_end")).to_contain_text("ends before it starts")
    await page.fill("#f-rek_end", "2029-12-31")
    await page.click("main button:has-text('Save')")
    await expect(page.locator(".done")).to_contain_text("Saved")
    await expect(page.locator("main")).to_contain_text("Kari Nordmann")
    await page.goto("/projects")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await good(page, "projects")


async def test_an_owner_sees_to_the_members(site: Site) -> None:
    page = await site.open("owner", "/projects/AAA/members")
    await page.fill("#f-username", "nobody at all")
    await page.click("text=Add >> nth=-1")
    await expect(page.locator("#w-username")).to_contain_text("no such account")
    await page.fill("#f-username", "")
    await page.locator("#f-username").press_sequentially("nob")
    await expect(page.locator("#people option")).to_have_count(1)
    await page.fill("#f-username", "nobody")
    await page.select_option("#f-role", "data-entry")
    await page.click("form.card button")
    row = page.locator("tr", has_text="Take out nobody")
    await expect(row.locator("select")).to_have_value("data-entry")
    await row.locator("select").select_option("viewer")
    await row.locator("button:has-text('Save')").click()
    await expect(page.locator(".done")).to_contain_text("Saved")
    await expect(row.locator("select")).to_have_value("viewer")
    await good(page, "project-members")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("text=Take out owner")
    await expect(page.locator(".complaint")).to_contain_text("A project has an owner")
    await page.click("text=Take out nobody")
    await expect(page.locator(".done")).to_contain_text("Taken out")
    await expect(row).to_have_count(0)


async def test_a_viewer_sees_progress_and_no_more(site: Site) -> None:
    uid = await site.study(1)
    owner = await site.api("owner")
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await owner("POST", "/transfers", 201, body)
    page = await site.open("viewer", "/projects", language="nb-NO")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.click("text=AAA")
    await expect(page.locator("h1")).to_have_text("AAA")
    await expect(page.locator("table")).to_contain_text("A_1")
    for gone in ("/edit", "/coupling-list", "/process-again"):
        await expect(page.locator(f"main a[href$='{gone}']")).to_have_count(0)
        answer = await page.request.get(f"/projects/AAA{gone}")
        assert answer.status == 403
    await good(page, "project-viewer-norsk")
    for path in ("", "/members", "/edit", "/coupling-list", "/process-again"):
        assert (await page.request.get(f"/projects/BBB{path}")).status == 404, path
    await page.goto("/projects/AAA/members")
    await expect(page.locator("main form")).to_have_count(0)


async def test_nobody_has_projects_yet(site: Site) -> None:
    page = await site.open("nobody", "/projects")
    await expect(page.locator(".empty")).to_contain_text("You work in no project yet")


async def test_everything_is_processed_again_when_somebody_means_it(site: Site) -> None:
    page = await site.open("owner", "/projects/AAA")
    await page.click("text=Process again")
    await expect(page.locator("main")).to_contain_text("Nothing of this project")
    await good(page, "project-process-again-nothing")


@pytest.mark.parametrize("path", ["/projects/new", "/projects/pattern"])
async def test_only_administrators_enter_projects(site: Site, path: str) -> None:
    page = await site.open("viewer")
    assert (await page.request.get(path)).status == 403


async def test_a_coupling_list_is_uploaded_with_a_bad_row(site: Site, tmp_path: Path) -> None:
    await site.study(1)  # of patient P1
    path = tmp_path / "list.csv"
    path.write_text("pasient-id;deltaker\nP1;A_1\nP2;<i>evil</i>\n")
    page = await site.open("data-manager", "/projects/AAA/coupling-list")
    await good(page, "coupling-list-empty")
    await page.click("text=Upload >> nth=-1")
    await expect(page.locator("#w-file")).to_contain_text("Choose a file")
    await page.set_input_files("#f-file", path)
    await page.click("button[value=take]")
    report = page.locator(".report")
    await expect(report).to_contain_text("Nothing was taken: 1 row is wrong")
    await expect(report.locator("tbody tr")).to_have_count(1)
    await expect(report.locator("tbody tr")).to_contain_text("deltaker")
    await good(page, "coupling-list-refused")
    await page.set_input_files("#f-file", path)
    await page.check("input[name=partial]")
    await page.click("button[value=take]")
    await expect(report).to_contain_text("2 rows = 1 new")
    await expect(report).to_contain_text("1 taken")
    listed = page.get_by_role("region", name="On the list").locator("tbody tr")
    await expect(listed).to_have_count(1)
    await good(page, "coupling-list-taken")
    await page.fill("input[name=wanted]", "p1")
    await page.press("input[name=wanted]", "Enter")
    await page.wait_for_url("**/find")
    await expect(listed).to_have_count(1)
    await page.fill("input[name=wanted]", "P")
    await page.press("input[name=wanted]", "Enter")
    await expect(page.locator("main")).to_contain_text("Nothing on the list")
    await page.goto("/projects/AAA/coupling-list")
    answer = await page.request.get("/projects/AAA/coupling-list/template.csv")
    assert (await answer.text()).startswith("accession number;")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("text=Remove all rows")
    await expect(page.locator(".done")).to_contain_text("1 row removed")
    await page.goto("/projects/AAA")
    await expect(page.locator("table")).to_contain_text("A_1")
    await good(page, "project-owner")


async def test_a_list_that_is_too_long_is_said_to_be(site: Site) -> None:
    manager = await site.signed_in("data-manager")
    del manager.headers["x-form-token"]
    form = {"form_token": "any"}
    files = {"file": ("list.csv", b"x" * (11 << 20), "text/csv")}
    answer = await manager.post("/projects/AAA/coupling-list", data=form, files=files)
    assert answer.status_code == 413
