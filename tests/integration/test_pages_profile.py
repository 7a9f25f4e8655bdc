"""The pages of a project's rules of de-identification, in a real browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, expect

from services.anonymizer.pool import Pool
from services.anonymizer.previews.consumer import PreviewConsumer
from shared.ledger.auditing import Action
from shared.ledger.tables import AuditEvent, Instance
from tests.browser import good
from tests.helpers import rows
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

PATIENCE = 60_000  # ms, for a process of the anonymizer to start
PATH = "/projects/AAA/profile"


async def project(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = await (await site.api("owner"))("GET", "/projects/AAA", 200)
    return found


async def saved_rules(site: Site) -> list[dict[str, Any]]:
    text = (await project(site))["profile"]
    found: list[dict[str, Any]] = json.loads(text)["rules"] if text else []
    return found


async def search(page: Page, text: str) -> None:
    await page.fill("#f-text", text)
    await page.press("#f-text", "Enter")
    await page.wait_for_load_state()


async def press(page: Page, text: str) -> None:
    await page.locator(f"main button:has-text('{text}')").first.click()
    await page.wait_for_load_state()


def select_of(page: Page, name: str) -> Any:
    return page.get_by_label(f"What becomes of {name}", exact=True)


async def test_an_owner_finds_a_row_and_changes_it_and_puts_it_back(site: Site) -> None:
    page = await site.open("owner", "/projects/AAA")
    await page.click("text=De-identification >> nth=0")
    await expect(page.locator("main")).to_contain_text("0 of 266 rows are changed")
    await expect(page.locator("tbody tr")).to_have_count(40)
    await good(page, "profile-all")
    for text in ("0008,1030", "(0008,1030)", "00081030", "study desc", "StudyDescription"):
        await search(page, text)
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody")).to_contain_text("StudyDescription")
    await select_of(page, "StudyDescription").select_option("literal")
    await press(page, "Save")
    await expect(page.locator("tbody p.wrong")).to_contain_text("needs a value")
    assert await saved_rules(site) == []
    await good(page, "profile-wrong")
    await page.locator("tbody label.text input").fill("Cardiac MR")
    await search(page, "BirthDate")  # what was changed is not lost by searching
    await expect(page.locator(".unsaved")).to_contain_text("not saved yet")
    await press(page, "Save")
    await page.wait_for_url("**/profile?done=saved")
    rule = {"element": "StudyDescription", "action": "literal", "value": "Cardiac MR"}
    assert await saved_rules(site) == [rule]
    await page.select_option("#f-show", "changed")
    await press(page, "Search")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text("this project")
    await good(page, "profile-changed")
    await page.set_viewport_size({"width": 390, "height": 800})
    await good(page, "profile-changed-narrow")
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 1280, "height": 900})
    await good(page, "profile-changed-dark")
    await press(page, "Put StudyDescription back")
    await press(page, "Save")
    await expect(page.locator(".confirm")).to_contain_text("StudyDescription: so far “replaced")
    await page.locator(".confirm input").check()
    await page.locator(".confirm button").click()
    await expect(page.locator(".done")).to_contain_text("Saved")
    assert (await project(site))["profile"] == ""
    changed = [one for one in await rows(site.runtime, AuditEvent)
               if one.action == Action.PROJECT_CHANGED and one.actor == "owner"]  # fmt: skip
    assert [one.subject["fields"] for one in changed] == [["profile"], ["profile"]]


async def test_what_lets_more_through_is_marked_and_must_be_confirmed(site: Site) -> None:
    page = await site.open("owner", PATH)
    await search(page, "PatientBirthDate")
    await select_of(page, "PatientBirthDate").select_option("keep")
    await press(page, "Save")
    confirm = page.locator(".confirm")
    await expect(confirm).to_contain_text("Do you mean it?")
    await expect(confirm).to_contain_text("so far “emptied”")
    await expect(page.locator("tbody p.mark")).to_contain_text("Lets more through")
    await good(page, "profile-confirm")
    await confirm.locator("button").click()  # without the tick
    await expect(confirm).to_be_visible()
    assert await saved_rules(site) == []
    # What is confirmed is what was shown, and nothing that was changed after it.
    await confirm.locator("input").check()
    await search(page, "PatientAddress")
    await select_of(page, "PatientAddress").select_option("keep")
    await press(page, "Save")
    await expect(confirm.locator("li")).to_have_count(2)
    await confirm.locator("input").check()
    await confirm.locator("button").click()
    await page.wait_for_url("**/profile?done=saved")
    assert [one["action"] for one in await saved_rules(site)] == ["keep", "keep"]
    await expect(page.locator("main")).to_contain_text("2 let more through")
    # What was confirmed once is not asked again.
    await search(page, "StudyDescription")
    await select_of(page, "StudyDescription").select_option("remove")
    await press(page, "Save")
    await page.wait_for_url("**/profile?done=saved")


async def test_rows_that_are_not_listed_are_added(site: Site) -> None:
    page = await site.open("owner", PATH)
    await page.click("text=Add a row")
    await page.fill("#f-element", "NoSuchThing")
    await press(page, "Add the row")
    await expect(page.locator("#w-element")).to_contain_text("Write a tag like")
    await page.fill("#f-element", "(0010,2299)")
    await page.select_option("#f-new_action", "remove")
    await press(page, "Add the row")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text("ResponsibleOrganization")
    await page.click("text=Add a row")
    await page.fill("#f-element", "xx02")
    await page.fill("#f-creator", "GEMS_IDEN_01")
    await page.select_option("#f-new_action", "empty")
    await press(page, "Add the row")
    await expect(page.locator("tbody")).to_contain_text("GEMS_IDEN_01")
    await page.click("text=Add a row")
    await page.fill("#f-element", "PatientName")
    await page.select_option("#f-new_action", "keep")
    await press(page, "Add the row")
    await press(page, "Save")
    await expect(page.locator("tbody p.wrong").first).to_contain_text("settled by Sluse itself")
    await good(page, "profile-added")
    await press(page, "Put PatientName back")
    await press(page, "Save")
    await expect(page.locator(".done")).to_contain_text("Saved")
    assert await saved_rules(site) == [
        {"element": "ResponsibleOrganization", "action": "remove"},
        {"element": "xx02", "creator": "GEMS_IDEN_01", "action": "empty"},
    ]


async def test_the_strict_table_with_options(site: Site) -> None:
    page = await site.open("owner", PATH)
    await page.click("text=What all this builds on")
    await expect(page.locator(".options")).to_be_hidden()
    await page.check("input[value='ps3.15']")
    await page.check("input[value='retain-full-dates']")
    await page.check("input[value='retain-modified-dates']")
    await press(page, "Show what that gives")
    await expect(page.locator(".complaint")).to_contain_text("exclude each other")
    await page.uncheck("input[value='retain-full-dates']")
    await page.select_option("select[name='content:video']", "keep")
    await press(page, "Show what that gives")
    await expect(page.locator("main")).to_contain_text("0 of 62")
    await expect(page.locator("tbody")).to_contain_text("DICOM PS3.15")
    await press(page, "Save")
    await expect(page.locator(".confirm li")).to_have_count(2)
    await page.locator(".confirm input").check()
    await page.locator(".confirm button").click()
    await page.wait_for_url("**/profile?done=saved")
    await good(page, "profile-strict")
    document = json.loads((await project(site))["profile"])
    assert (document["base"], document["options"], document["contents"]) == (
        "ps3.15", ["retain-modified-dates"], {"video": "keep"}
    )  # fmt: skip


async def test_nothing_that_another_saved_meanwhile_is_undone(site: Site) -> None:
    page = await site.open("owner", PATH)
    await search(page, "StudyDescription")
    await select_of(page, "StudyDescription").select_option("remove")
    rule = {"element": "SeriesDescription", "action": "remove"}
    other = json.dumps({"format": 1, "name": "x", "base": "source-2019", "rules": [rule]})
    await site.root("PATCH", "/projects/AAA", 200, {"profile": other})
    await press(page, "Save")
    await expect(page.locator(".complaint")).to_contain_text("Somebody else has changed the rules")
    assert await saved_rules(site) == [rule]


async def test_the_projects_form_has_no_json_any_more(site: Site) -> None:
    page = await site.open("owner", "/projects/AAA/edit")
    await expect(page.locator("[name=profile]")).to_have_count(0)
    rule = {"element": "SeriesDescription", "action": "remove"}
    own = json.dumps({"format": 1, "name": "x", "base": "source-2019", "rules": [rule]})
    await site.root("PATCH", "/projects/AAA", 200, {"profile": own})
    await page.fill("#f-title", "Anew")
    await page.click("main form[action$='/edit'] button")
    await expect(page.locator(".complaint")).to_contain_text("Somebody has changed this meanwhile")
    await page.goto("/projects/AAA/edit")
    await page.fill("#f-title", "Anew")
    await page.click("main form[action$='/edit'] button")
    await page.wait_for_url("**/projects/AAA?done=saved")
    assert (await project(site))["profile"] == own
    await page.goto("/projects/AAA/edit")
    await page.locator(f"main p a[href='{PATH}']").click()
    await expect(page.locator("h1")).to_contain_text("AAA")


async def test_a_viewer_reads_the_table_and_no_more(site: Site) -> None:
    page = await site.open("viewer", PATH, language="nb-NO")
    await search(page, "PatientBirthDate")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text("tømmes")
    await expect(page.locator("main select")).to_have_count(1)
    await expect(page.locator("main form button")).to_have_count(1)
    await good(page, "profile-viewer-norsk")
    token = await page.locator("input[name=form_token]").first.input_value()
    for path in ("", "/preview"):
        form = {"form_token": token, "press": "save", "draft": ""}
        answer = await page.request.post(PATH + path, form=form)
        assert answer.status == 403, path
    assert (await page.request.get(f"{PATH}/preview")).status == 403
    for path in ("", "/preview", "/preview/1"):
        assert (await page.request.get(f"/projects/BBB/profile{path}")).status == 404


@asynccontextmanager
async def anonymizer(site: Site) -> AsyncIterator[None]:
    pool = Pool(site.runtime.settings)
    key = await site.runtime.load_master_key()
    async with site.runtime.bus.consuming(PreviewConsumer(site.runtime.ledger, key, pool)):
        yield
    pool.close()


async def in_project(site: Site) -> None:
    uid = await site.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await (await site.api("owner"))("POST", "/transfers", 201, body)


async def test_unsaved_changes_are_tried_on_an_image(site: Site) -> None:
    page = await site.open("owner", f"{PATH}/preview")
    await expect(page.locator(".empty")).to_contain_text("no study yet")
    await in_project(site)
    await page.goto(PATH)
    await search(page, "StudyDescription")
    await select_of(page, "StudyDescription").select_option("remove")
    await press(page, "Try it on an image")
    await expect(page.locator("#f-study_id option")).to_contain_text("A_1")
    await good(page, "profile-preview-choose")
    async with anonymizer(site):
        await press(page, "Show it before and after")
        await page.wait_for_url("**/profile/preview/*")
        table = page.get_by_role("region", name="What changes")
        name = table.locator("tr", has_text="PatientName")
        await expect(name).to_contain_text("A_1", timeout=PATIENCE)
        assert page.url.endswith("/projects/AAA/profile/preview/1")  # nothing of a patient's
        gone = table.locator("tr", has_text="StudyDescription")
        await expect(gone).to_contain_text("CT thorax med kontrast")
        await expect(gone).to_contain_text("removed")
    assert "^" in await name.locator("td").nth(2).inner_text()
    await good(page, "profile-preview")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.emulate_media(color_scheme="dark")
    await good(page, "profile-preview-narrow-dark")
    assert await saved_rules(site) == []
    await press(page, "Back to the table, with the changes")
    await expect(page.locator(".unsaved")).to_be_visible()
    await press(page, "Save")
    await expect(page.locator(".done")).to_contain_text("Saved")
    rule = {"element": "StudyDescription", "action": "remove"}
    assert await saved_rules(site) == [rule]


async def test_a_data_manager_tries_the_rules_in_force(site: Site) -> None:
    await in_project(site)
    page = await site.open("data-manager", PATH, language="nb-NO")
    await expect(page.locator("tbody select")).to_have_count(0)
    await page.click("main a:has-text('Prøv det på et bilde')")
    await press(page, "Vis det før og etter")
    await expect(page.locator("#preview")).to_contain_text("Bildet avidentifiseres")
    await good(page, "profile-preview-waits-norsk")
    async with anonymizer(site):
        await page.reload()
        await expect(page.get_by_role("region", name="Det som endres")).to_contain_text(
            "A_1", timeout=PATIENCE
        )
    await good(page, "profile-preview-norsk")
    instance = (await rows(site.runtime, Instance))[0]
    site.runtime.spool.path(instance.spool_key).unlink()
    await press(page, "Velg et annet bilde")
    await press(page, "Vis det før og etter")
    async with anonymizer(site):
        await expect(page.locator(".complaint")).to_contain_text("Det gikk ikke", timeout=PATIENCE)


async def test_administrators_change_rules_but_see_no_originals(site: Site) -> None:
    await in_project(site)
    page = await site.open("root", PATH)
    await expect(page.locator("main button:has-text('Try it')")).to_have_count(0)
    assert (await page.request.get(f"{PATH}/preview")).status == 403
    await search(page, "StudyDescription")
    await select_of(page, "StudyDescription").select_option("remove")
    await press(page, "Save")
    await expect(page.locator(".done")).to_contain_text("Saved")


@pytest.mark.parametrize("draft", ["{", "[]", '{"format": 1}'])
async def test_a_form_that_is_none_of_ours_is_refused(site: Site, draft: str) -> None:
    owner = await site.signed_in("owner")
    form = {"draft": draft, "press": "save", "seen": ""}
    answer = await owner.post(PATH, data=form)
    assert answer.status_code == 422


async def test_a_draft_that_is_too_long_is_refused_before_it_is_read(site: Site) -> None:
    page = await site.open("owner", PATH)
    token = await page.locator("input[name=form_token]").first.input_value()
    form = {"form_token": token, "press": "save", "draft": "x" * 100_001}
    answer = await page.request.post(PATH, form=form)
    assert answer.status == 422 and "100,000" in await answer.text()
