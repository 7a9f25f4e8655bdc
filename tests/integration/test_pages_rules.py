"""The pages of routing rules, in a real browser."""

import pytest
from playwright.async_api import expect

from shared.ledger.auditing import Action
from shared.ledger.tables import AuditEvent, RoutingRule, Transfer
from tests.browser import good
from tests.helpers import rows
from tests.integration.test_browser_fixtures import Site, needs_chromium
from tests.integration.test_people_fixtures import CALLED

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

HTML = "<b>bold</b> & <script>alert(1)</script>"
RULE = {
    "name": "from the scanner", "called_aet": CALLED, "patient_id_pattern": "P", "project": "AAA",
}  # fmt: skip
TITLE, PATIENT = "[name=title_value]", "[name=patient_value]"
SAVE, TRY = ".buttons button[value=save]", "button[value=try]"


async def administrator_in(site: Site, project: str) -> None:
    """Root becomes a data manager of a project, as who administers and works with it is."""
    await site.root("PUT", f"/projects/{project}/members/root", 200, {"role": "data-manager"})


async def rule_of(site: Site) -> RoutingRule:
    (rule,) = await rows(site.runtime, RoutingRule)
    return rule


async def test_a_rule_is_entered_after_it_was_tried(site: Site) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {"events": ["baseline", "year1"]})
    await administrator_in(site, "AAA")
    for seed in (1, 2, 3):
        await site.study(seed)
    page = await site.open("root", "/rules")
    await expect(page.locator(".empty")).to_contain_text("There are no routing rules yet")
    await good(page, "rules-empty")
    await page.click("text=New rule")
    await good(page, "rule-new")
    await page.fill("#f-name", HTML)
    await page.fill(TITLE, CALLED)
    await page.fill(PATIENT, "P1")
    await page.select_option("#f-project", "AAA")
    await page.select_option("#f-event", "year1")  # has come with the project
    words = page.locator("#words")
    await expect(words).to_contain_text(
        "Takes what is sent to SLUSE, and the patient id begins with P1, into project AAA, "
        "event year1"
    )
    await page.click("button[value='add patient']")
    await expect(page.locator(PATIENT)).to_have_count(2)
    await expect(page.locator("#f-name")).to_have_value(HTML)
    await expect(page.locator("[name=patient_field] >> nth=1")).to_be_focused()
    await page.select_option("[name=patient_how] >> nth=1", "like")
    await page.fill(f"{PATIENT} >> nth=1", "P#")
    await page.uncheck("[name=enabled]")
    await expect(words).to_contain_text("begins with P1 or the patient id looks like P#, into")
    await expect(words).to_contain_text("The rule is switched off")
    await page.click(TRY)
    tried = page.locator(".report")
    await expect(tried).to_contain_text("Tried, and nothing is saved")
    assert [await one.text_content() for one in await tried.locator("dd").all()] == ["3", "0", "0"]
    await expect(tried.locator("li")).to_have_text(["Study 3", "Study 2", "Study 1"])
    assert await page.evaluate("document.activeElement.id") == "tried"
    await good(page, "rule-tried")
    await page.emulate_media(color_scheme="dark")
    await good(page, "rule-tried-dark")
    await page.click("button[value='remove patient 1']")
    await expect(page.locator(PATIENT)).to_have_count(1)
    await expect(page.locator("button[value='add patient']")).to_be_focused()
    await page.select_option("#f-project", "BBB")  # has no events
    await expect(page.locator("#f-event")).to_have_count(0)
    await expect(words).not_to_contain_text("event")
    await page.select_option("#f-project", "AAA")
    await page.select_option("#f-event", "year1")
    await page.click(TRY)
    await expect(tried.locator("dd")).to_have_text(["1", "0", "2"])
    await expect(tried).to_contain_text("Study 2: Neither the patient's id nor the name")
    assert await rows(site.runtime, RoutingRule) == await rows(site.runtime, Transfer) == []
    await page.click(SAVE)
    await page.wait_for_url("**/rules/1?done=entered")
    await expect(page.locator("h1")).to_have_text(HTML)
    await expect(page.locator("main")).to_contain_text("Study 1")
    await good(page, "rule-entered")
    rule = await rule_of(site)
    assert (rule.patient_id_pattern, rule.event, rule.enabled) == ("P1", "year1", False)


async def test_what_is_wrong_is_said_where_it_stands(site: Site) -> None:
    await site.root("POST", "/routing-rules", 201, RULE)
    page = await site.open("root", "/rules/new")
    await page.click(SAVE)
    await expect(page.locator(".complaint")).to_contain_text("Something is missing or wrong")
    await expect(page.locator("#w-title-1")).to_have_text("Fill this in, or remove the row.")
    await expect(page.locator("#w-patient-1")).to_have_text("Fill this in, or remove the row.")
    await page.fill(TITLE, "A\\B")
    await page.fill(PATIENT, "P(")
    await page.select_option("[name=patient_how]", "expression")
    await page.click(SAVE)
    await expect(page.locator("#w-patient-1")).to_contain_text("does not understand")
    await expect(page.locator("#w-patient-1 code")).to_have_text("missing ): P(")
    await page.fill(PATIENT, "P")
    await page.fill("#f-priority", "")
    await page.click(SAVE)
    for name, text in (("name", "Give the rule a name"), ("priority", "whole number"),
                       ("project", "Choose a project")):  # fmt: skip
        await expect(page.locator(f"#w-{name}")).to_contain_text(text)
    await expect(page.locator("fieldset p.wrong")).to_have_count(4)
    await expect(page.locator("#w-title-1")).to_contain_text("An AE title has 1 to 16")
    await good(page, "rule-refused")
    await page.fill("#f-name", RULE["name"])
    await page.fill("#f-priority", "7")
    await page.fill(TITLE, CALLED)
    await page.select_option("#f-project", "AAA")
    await page.select_option("#f-trusted", "false")
    await page.click(SAVE)
    await expect(page.locator("#w-trusted")).to_contain_text("Sluse can't choose an id")
    await page.select_option("#f-trusted", "true")
    await page.click(SAVE)
    await expect(page.locator("#w-name")).to_have_text("Another rule has this name.")
    await page.click("button[value='remove title 0']")
    await expect(page.locator(TITLE)).to_have_count(0)
    await page.fill("#f-name", "another")
    await page.click(SAVE)
    await expect(page.locator("fieldset p.wrong")).to_contain_text("A rule needs a called or")
    assert len(await rows(site.runtime, RoutingRule)) == 1


async def test_without_a_script_everything_works_but_the_words(site: Site) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {"sites": ["Bergen", "Førde"]})
    await administrator_in(site, "AAA")
    await site.study(1)
    page = await site.open("root")
    await page.route("**/*.js", lambda route: route.abort())
    await page.goto("/rules/new")
    await page.fill("#f-name", "plain")
    await page.select_option("#f-project", "AAA")
    await page.click("text=Show the events and sites")
    await page.select_option("#f-site", "Førde")
    await page.select_option("#f-project", "BBB")
    await page.click(SAVE)
    await expect(page.locator(".complaint")).to_contain_text("wrong")
    await expect(page.locator("#f-site")).to_have_count(0)
    await page.select_option("#f-project", "AAA")
    await page.click("text=Show the events and sites")
    await page.select_option("#f-site", "Førde")
    await page.fill(TITLE, CALLED)
    await page.click("button[value='add title']")
    await page.fill(f"{TITLE} >> nth=1", "MR1")
    await expect(page.locator("[name=title_field] >> nth=1")).to_have_value("calling_aet")
    await page.click("button[value='add patient']")
    await page.click("button[value='remove patient 0']")
    await page.select_option("[name=patient_how]", "any")
    await page.click(TRY)
    await expect(page.locator(".report dd")).to_have_text(["1", "0", "0"])
    await expect(page.locator("#words")).to_contain_text(
        "sent to SLUSE or sent by MR1, and the patient id is anything, into project AAA, site Førde"
    )
    await good(page, "rule-without-script")
    await page.locator("#f-name").press("Enter")  # is saving, not the first button of a row
    await page.wait_for_url("**/rules/1?done=entered")
    rule = await rule_of(site)
    assert (rule.calling_aet, rule.patient_id_pattern, rule.site) == ("MR1", ".*", "Førde")


async def test_a_rule_is_changed_and_switched_from_the_list(site: Site) -> None:
    made = await site.root("POST", "/routing-rules", 201, RULE | {"enabled": False})
    page = await site.open("root", "/rules")
    await page.click("text=from the scanner")
    await expect(page.locator(".empty")).to_contain_text("shown to members of AAA")
    await page.click("text=Change the rule")
    await expect(page.locator(TRY)).to_have_count(0)  # root may not see who the participants are
    await good(page, "rule-edit")
    await page.fill("#f-name", "from the new scanner")
    await page.select_option("[name=patient_how]", "is")
    await page.click(SAVE)
    await expect(page.locator(".done")).to_contain_text("The rule is saved")
    await page.goto("/rules")
    row = page.locator("#rule-1")
    await expect(row).to_contain_text("the patient id is P")
    await page.click("text=Switch on")
    await expect(page.locator(".done")).to_contain_text("“from the new scanner” is on")
    await expect(row.locator(".state")).to_have_text("on")
    await good(page, "rules-on")
    # A project that has got events since makes the rule wrong: on it can't go, off it can.
    await site.root("PATCH", "/projects/AAA", 200, {"events": ["v1"]})
    await page.click("text=Switch off")
    await expect(row.locator(".state")).to_have_text("off")
    await page.click("text=Switch on")
    await expect(page.locator(".complaint")).to_contain_text("can't be switched on")
    await expect(page.locator(".complaint")).to_contain_text("wants one chosen")
    await good(page, "rules-can-not-go-on")
    assert made["name"] != (await rule_of(site)).name
    entered = [e.subject for e in await rows(site.runtime, AuditEvent)
               if e.action == Action.RULE_ENTERED]  # fmt: skip
    assert [one["enabled"] for one in entered] == [False, False, True, False]


async def test_nobody_undoes_what_somebody_else_has_saved(site: Site) -> None:
    await site.root("POST", "/routing-rules", 201, RULE)
    page = await site.open("root", "/rules/1/edit")
    await site.root("PUT", "/routing-rules/1", 200, RULE | {"patient_id_pattern": "X_[0-9]{2}$"})
    await page.fill("#f-name", "mine")
    await page.fill("#f-priority", "5")
    async with page.expect_response(lambda one: one.request.is_navigation_request()) as answered:
        await page.click(SAVE)
    assert (await answered.value).status == 409
    stale = page.locator(".complaint")
    await expect(stale).to_contain_text("Somebody else has changed this rule")
    await expect(stale).to_contain_text("the patient id looks like X_##")
    await expect(page.locator("#f-name")).to_have_value("mine")
    await expect(page.locator(PATIENT)).to_have_value("P")
    await good(page, "rule-stale")
    assert (await rule_of(site)).name == RULE["name"]
    # Once more somebody else; then the page has seen it all.
    await site.root("PUT", "/routing-rules/1", 200, RULE | {"priority": 9})
    await page.click(SAVE)
    await expect(stale).to_contain_text("order 9")
    await page.click(SAVE)
    await page.wait_for_url("**/rules/1?done=saved")
    rule = await rule_of(site)
    assert (rule.name, rule.priority, rule.patient_id_pattern) == ("mine", 5, "P")


async def test_who_may_see_the_patients_tries_and_does_not_save(site: Site) -> None:
    await site.study(1)
    await site.root("POST", "/routing-rules", 201, RULE | {"name": "first", "priority": 1})
    await site.root("POST", "/routing-rules", 201, RULE | {"patient_id_pattern": "P.*"})
    await site.root("POST", "/routing-rules", 201, RULE | {"name": HTML, "project": "BBB"})
    page = await site.open("data-manager", "/rules", language="nb-NO")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("main form")).to_have_count(0)
    await good(page, "rules-norsk")
    await page.click("text=from the scanner")
    await expect(page.locator("main")).to_contain_text("Regelen «first» går foran.")
    await expect(page.locator("main a[href$='/edit']")).to_have_count(0)
    await good(page, "rule-norsk")
    for path in ("/rules/new", "/rules/1/edit"):
        assert (await page.request.get(path)).status == 403, path
    assert (await page.request.get("/rules/3")).status == 404
    token = await page.locator("[name=form_token] >> nth=0").get_attribute("value")
    for path in ("/rules/new", "/rules/1/edit", "/rules/1/switch"):
        answer = await page.request.post(path, form={"form_token": str(token), "do": "try"})
        assert answer.status == 403, path
    for stranger in ("viewer", "data-entry", "operator", "nobody"):
        other = await site.signed_in(stranger)
        for path in ("/rules", "/rules/1", "/rules/new"):
            answer = await other.get(path)
            assert answer.status_code in (403, 404), (stranger, path)
    assert {one.enabled for one in await rows(site.runtime, RoutingRule)} == {True}


async def test_who_administers_tries_only_where_they_may_see_patients(site: Site) -> None:
    await administrator_in(site, "BBB")
    await site.study(1)
    await site.root("POST", "/routing-rules", 201, RULE)
    page = await site.open("root", "/rules/1/edit")
    await page.click(TRY)
    await expect(page.locator("#w-project")).to_contain_text(
        "You can't try a rule for this project"
    )
    # Nor by way of another project: the rule is one of AAA's.
    await page.select_option("#f-project", "BBB")
    await page.click(TRY)
    await expect(page.locator("#w-project")).to_contain_text(
        "You can't try a rule for this project"
    )
    await expect(page.locator(".report")).to_have_count(0)
    await page.goto("/rules/new?project=BBB")
    await page.fill(TITLE, CALLED)
    await page.fill(PATIENT, "P")
    await page.fill("#f-name", "try")
    await page.click(TRY)
    await expect(page.locator(".report dd")).to_have_text(["1", "0", "0"])


async def test_a_refusal_is_in_norwegian(site: Site) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {"events": ["v1"]})
    page = await site.open("root", "/rules/new", language="nb-NO")
    await page.fill("#f-name", " ")
    await page.fill("#f-priority", "99999")
    await page.fill(TITLE, "SLUSE")
    await page.fill(PATIENT, "P")
    await page.select_option("#f-project", "AAA")
    await page.click(SAVE)
    await expect(page.locator("#w-name")).to_contain_text("Gi regelen et navn")
    await expect(page.locator("#w-priority")).to_contain_text("Skriv et helt tall")
    await page.fill("#f-name", "regel")
    await page.fill("#f-priority", "1")
    await page.click(SAVE)
    await expect(page.locator("#w-event")).to_contain_text("Prosjektet har ingen slik hendelse")
    await expect(page.locator("#words")).to_contain_text("sendt til SLUSE, og der pasient-ID-en")
    await good(page, "rule-refused-norsk")


async def test_two_hundred_rules_are_found_by_their_project(site: Site) -> None:
    for number in range(200):
        code = "BBB" if number % 20 == 7 else "AAA"
        body = RULE | {"name": f"{number} " + "w" * 60, "priority": number, "project": code}
        await site.root("POST", "/routing-rules", 201, body)
    page = await site.open("root", "/rules")
    await expect(page.locator("tbody tr")).to_have_count(200)
    await page.set_viewport_size({"width": 400, "height": 900})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 400
    await page.select_option("#f-project", "BBB")
    await page.click("main button:has-text('Show')")
    await expect(page.locator("tbody tr")).to_have_count(10)
    await good(page, "rules-narrow")
    await page.click("tbody tr >> nth=2 >> text=Switch off")
    await expect(page.locator("tbody tr")).to_have_count(10)
    await expect(page.locator("#f-project")).to_have_value("BBB")
    await page.goto("/rules/200/edit")
    await expect(page.locator("#words li")).to_have_count(10)
    await good(page, "rule-edit-narrow")


@pytest.mark.parametrize("path", ["/rules/99", "/rules/99/edit"])
async def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    client = await site.signed_in("root")
    assert (await client.get(path)).status_code == 404
    assert (await client.post("/rules/99/switch")).status_code == 404
    assert (await client.post("/rules/99/edit")).status_code == 404
