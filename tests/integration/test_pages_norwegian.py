"""The pages in Norwegian: no English is left, neither where something is refused nor elsewhere."""

from pathlib import Path

from playwright.async_api import Page, expect

from demo.phantoms import Maker
from tests.browser import good
from tests.importing import Uploader, cd, read_all
from tests.integration.test_api_fixtures import receive
from tests.integration.test_browser_fixtures import Site, needs_chromium
from tests.norwegian import english_on

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

NB = "nb-NO"


async def speaks(page: Page, name: str, *entered: str) -> None:
    """No English is left on a page, which everybody can use."""
    await good(page, f"{name}-nb")
    assert await english_on(page, entered=("English", *entered)) == [], page.url


async def test_a_refused_project_says_why(site: Site) -> None:
    page = await site.open("root", "/projects/new", NB)
    await speaks(page, "project-new")
    await page.fill("#f-code", "AAA")
    await page.fill("#f-participant_pattern", "X_{site:2}_{n:3}")
    await page.click("main .buttons button")
    await expect(page.locator(".complaint")).to_contain_text("Det finnes allerede")
    await expect(page.locator("#w-code")).to_contain_text("Et annet prosjekt har denne koden.")
    await speaks(page, "project-taken")
    await page.fill("#f-code", "x")
    await page.fill("#f-participant_pattern", "X_{site:2}_{n")
    await page.click("main .buttons button")
    await expect(page.locator(".complaint")).to_contain_text("Noe må rettes først.")
    await expect(page.locator("#w-code")).to_contain_text("Bruk 3 til 16 store bokstaver")
    await expect(page.locator("#w-participant_pattern")).to_contain_text("En mal")
    await speaks(page, "project-refused")
    await page.goto("/projects/AAA/edit")
    await page.fill("#f-participant_pattern", "X_{site:2}_{n:3}")
    await page.fill("#f-sites", "Oslo\nBergen <b>")
    await page.click("main .buttons button")
    # What people have entered stands in the sentence as they wrote it.
    await expect(page.locator("#w-sites")).to_contain_text(": oppgi en kode på 2 bokstaver")
    await speaks(page, "project-site-codes")


async def test_a_refused_destination_says_why(site: Site) -> None:
    page = await site.open("root", "/administration/destinations/new", NB)
    await page.fill("#f-name", "second")
    await page.click("button:text('Lagre')")
    await expect(page.locator("#w-host")).to_contain_text("trenger dette")
    await page.fill("#f-ae_title", "A\\B")
    await page.fill("#f-host", "no host")
    await page.fill("#f-port", "70000")
    await page.fill("#f-hours", "at night")
    await page.evaluate("document.querySelector('main form').noValidate = true")
    await page.click("button:text('Lagre')")
    await expect(page.locator("#w-port")).to_contain_text("Oppgi 65535 eller mindre.")
    await expect(page.locator("p.wrong")).to_have_count(4)
    await speaks(page, "destination-refused")


async def test_people_and_passwords_are_refused_in_norwegian(site: Site) -> None:
    page = await site.open("", "/sign-in", NB)
    await page.fill("input[name=username]", "root")
    await page.fill("input[name=password]", "wrong")
    await page.click("main button")
    await expect(page.locator(".complaint")).to_contain_text("passer ikke sammen")
    await speaks(page, "sign-in-refused")
    page = await site.open("root", "/account", NB)
    await page.click("summary:text('Endre passordet')")
    await page.evaluate("document.querySelectorAll('form').forEach(one => one.noValidate = true)")
    await page.fill("#f-old", "wrong")
    for name in ("#f-new", "#f-again"):
        await page.fill(name, "another horse battery")
    await page.click("button:text('Endre passordet')")
    await expect(page.locator("p.wrong")).to_contain_text("Dette er ikke passordet ditt.")
    await speaks(page, "password-refused")
    await page.goto("/administration/people")
    await page.click("summary")
    await page.evaluate("document.querySelectorAll('form').forEach(one => one.noValidate = true)")
    await page.fill("#f-username", "kari nordmann")
    await page.fill("#f-password", "short")
    await page.click("main form:has(#f-username) button")
    await expect(page.locator("#w-username")).to_contain_text("Et brukernavn har")
    await expect(page.locator("#w-password")).to_contain_text("Et passord har")
    await speaks(page, "people-refused", "operator: sees")


async def test_the_remarks_of_an_import_and_its_refusal(site: Site, tmp_path: Path) -> None:
    images = list(Maker(1, size=16).ct(2).instances)
    images[1].PatientID = "another"
    files = cd(tmp_path, images, rubbish=b"no DICOM")
    files.pop(next(one for one in files if one.upper().endswith(("000001", "00001", "IM1"))), None)
    client = await site.signed_in("data-entry")
    up = Uploader(client)
    import_id = await up.begin(project="AAA")
    await up.upload(import_id, files)
    await up.finish(import_id)
    await read_all(site.runtime)
    page = await site.open("data-entry", "/import/1", NB)
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("main")).to_contain_text("CD-ens innholdsfortegnelse nevner")
    entered = [str(images[0].PatientName), str(images[0].StudyDescription)]
    await speaks(page, "import-remarks", *entered)
    await page.fill("#f-participant", "wrong")
    await page.click("button:text('Ta inn de valgte')")
    await expect(page.locator("p.wrong")).to_contain_text("passer ikke til prosjektets mønster")
    await speaks(page, "import-refused", *entered)
    # What the script on the page tells is REST's answer, in the person's language.
    client.headers["accept-language"] = NB
    answer = await client.post("/api/v1/imports/1/finish")
    assert answer.status_code == 409
    assert answer.json()["title"] == "Opplastingen er allerede fullført."
    answer = await client.post("/api/v1/imports/1/files", json={"files": []})
    assert answer.json()["errors"] == [{"field": "files", "message": "Dette mangler."}]
    client.headers.pop("x-form-token")
    answer = await client.get("/api/v1/imports/99")
    assert answer.json()["title"] == "There is no such import.", "programs get English"


async def test_problem_pages_are_norwegian(site: Site) -> None:
    await site.study(1)
    page = await site.open("data-manager", "/", NB)
    for status, path in (
        (404, "/nowhere"),
        (404, "/projects/BBB"),
        (404, "/transfers/99"),
        (422, "/transfers/xyz"),
        (422, "/transfers?state=odd"),
        (403, "/administration/people"),
    ):
        answer = await page.goto(path)
        assert answer is not None and answer.status == status, path
        await speaks(page, f"problem-{status}-{path.strip('/')[:9]}")
    uid = await site.study(2)
    manager = await site.api("data-manager")
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    made = await manager("POST", "/transfers", 201, body)
    page = await site.open("data-manager", f"/transfers/{made['id']}", NB)
    page.on("dialog", lambda dialog: dialog.accept())
    await manager("POST", f"/transfers/{made['id']}/cancel", 200)
    await page.click("main form[action$=cancel] button")
    await expect(page.locator("h1")).to_contain_text("Den er allerede avbrutt.")
    await speaks(page, "problem-409")


async def test_a_refused_coupling_list_says_why(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("pasient-id;deltaker\nP1;A_1\nP1;A_2\n;A_3\n123456789012345678901;\n")
    page = await site.open("data-manager", "/projects/AAA/coupling-list", NB)
    await page.set_input_files("#f-file", path)
    await page.click("button[value=take]")
    report = page.locator(".report")
    await expect(report).to_contain_text("oppgir en annen deltaker for samme pasient")
    await expect(report).to_contain_text("CSV, semikolon, UTF-8")
    await speaks(page, "coupling-list-refused")


PAGES = {
    "data-manager": (
        "/", "/assign", "/assign/choose?study=2", "/studies", "/studies/1", "/transfers",
        "/transfers/1", "/transfers/1/images", "/import", "/import/1", "/projects", "/projects/AAA",
        "/projects/AAA/members", "/projects/AAA/coupling-list", "/rules", "/account",
    ),
    "owner": ("/projects/AAA/edit", "/projects/AAA/members", "/projects/AAA/process-again"),
    "root": (
        "/projects", "/projects/new", "/administration",
        "/administration/people", "/administration/people/2", "/administration/destinations",
        "/administration/destinations/new", "/administration/destinations/1",
        "/administration/senders", "/administration/quarantine", "/administration/dead-letters",
    ),
    "": ("/sign-in", "/first-account"),
}  # fmt: skip


async def test_every_page_speaks_norwegian(site: Site) -> None:
    uid = await site.study(1)
    await site.study(2)
    await receive(site.runtime, [b"rubbish"])
    manager = await site.api("data-manager")
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await manager("POST", "/transfers", 201, body)
    await manager("POST", "/imports", 201, {"project": "AAA"})
    rule = {"name": "MR3", "project": "AAA", "called_aet": "SLUSE", "patient_id_pattern": "P"}
    await site.root("POST", "/routing-rules", 201, rule)
    studies = (await manager("GET", "/studies", 200))["items"]
    entered = [str(one["study_description"]) for one in studies]
    found = {}
    for username, paths in PAGES.items():
        page = await site.open(username, "/", NB)
        for path in paths:
            answer = await page.goto(path)
            assert answer is not None and answer.ok, path
            await good(page, f"{username}{path.partition('?')[0]}-nb")
            if left := await english_on(page, entered=("English", *filter(None, entered))):
                found[path] = left
    assert found == {}
