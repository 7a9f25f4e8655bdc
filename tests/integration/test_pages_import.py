"""A CD comes in through the page, in a real browser: interrupted, continued, reviewed, accepted."""

import os
from pathlib import Path

from playwright.async_api import Route, expect

from demo.phantoms import Maker
from shared.ledger.tables import Instance, Transfer
from tests.browser import good
from tests.helpers import rows
from tests.importing import bring_all, catalogue, cd, read_all
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = ["tests.integration.test_browser_fixtures"]
pytestmark = needs_chromium

EVIL = '<img src=x onerror="document.title=1">'


def folder(tmp_path: Path, seed: int = 1) -> Path:
    """A CD's folder with odd names, and what is no DICOM."""
    images = list(Maker(seed, size=64).ct(6).instances)
    for image in images:
        image.PatientName, image.StudyDescription = EVIL, EVIL if seed == 1 else "Second"
    found = tmp_path / "CD"
    for path, content in cd(tmp_path / "made", images).items():
        file = found / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (found / "a&b <b>.txt").write_text("no DICOM")
    return found


async def test_a_cd_is_interrupted_continued_and_taken(site: Site, tmp_path: Path) -> None:
    await site.root("PATCH", "/projects/AAA", 200, {"participant_pattern": "AAA_{n:3}"})
    chosen = folder(tmp_path)
    page = await site.open("data-entry", "/import")
    await good(page, "import-empty")
    await page.fill("#f-note", "CD from Bergen")
    await page.click("button:text('Begin an import')")
    await page.wait_for_url("**/import/1")
    await good(page, "import-upload")

    sent = 0

    async def cut(route: Route) -> None:
        nonlocal sent
        sent += 1
        await (route.continue_() if sent <= 3 else route.abort())

    await page.route("**/files/*", cut)
    await page.set_input_files("#folder", str(chosen))
    await expect(page.locator("#away")).to_be_visible()
    await good(page, "import-interrupted")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.unroute("**/files/*")
    await page.reload()
    await expect(page.locator("#finished")).to_be_hidden()
    again: list[str] = []
    page.on("request", lambda one: again.append(one.url) if one.method == "PATCH" else None)
    await page.set_input_files("#folder", str(chosen))
    await expect(page.locator("#finished")).to_be_visible()
    files = sum(one.is_file() for one in chosen.rglob("*"))
    assert 0 < len(again) < files, "what was here before is not sent again"

    # What is chosen while something is sent comes after it; what can't be sent can be left out.
    async def refuse(route: Route) -> None:
        await route.fulfill(
            status=413
        ) if route.request.method == "PATCH" else await route.continue_()

    await page.route("**/files/*", refuse)
    extra = [tmp_path / name for name in ("one.txt", "two.txt")]
    for one in extra:
        one.write_text("more")
    await page.set_input_files("#files", [str(one) for one in extra])
    await expect(page.locator("#broken-names")).to_contain_text("one.txt")
    await expect(page.locator("#broken-names")).to_contain_text("two.txt")
    await page.unroute("**/files/*")
    await page.set_input_files("#files", str(extra[0]))
    await expect(page.locator("#broken")).to_be_hidden()
    await expect(page.locator("#finished")).to_be_visible()
    await page.route("**/files/*", refuse)
    await page.set_input_files("#files", str(extra[1]))
    await page.click("#leave-out")
    await expect(page.locator("#broken")).to_be_hidden()
    await page.click("#finish")
    await expect(page.locator("#reading")).to_be_visible()
    await read_all(site.runtime)
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text(EVIL)
    assert await page.title() == "Import 1 · Sluse"
    await good(page, "import-review")
    await page.fill("#f-participant", "wrong")
    await page.click("button:text('Take the chosen studies')")
    await expect(page.locator("p.wrong")).to_contain_text("does not fit")
    await page.goto("/import/1/items?kind=ignored")
    await expect(page.locator("tbody")).to_contain_text("a&b <b>.txt")
    await good(page, "import-items")
    # A second CD of one layout: what it has is new, though it is called as before.
    second = folder(tmp_path / "second", seed=2)
    await page.unroute("**/files/*")
    await page.goto("/import/1")
    await page.evaluate("sessionStorage.clear()")  # another day, another browser
    await page.click("summary:text('Add more files')")
    await page.set_input_files("#folder", str(second))
    await expect(page.locator("#finished")).to_be_visible()
    await good(page, "import-more")
    await page.click("#finish")
    await expect(page.locator("#reading")).to_be_visible()
    await read_all(site.runtime)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.uncheck("tbody tr:has-text('Second') input")
    await page.click("button:text('Take the chosen studies')")
    await expect(page.locator("#reading")).to_be_visible()
    await bring_all(site.runtime)
    await catalogue(site.runtime)
    await expect(page.locator("#outcome .good a")).to_have_text(["Study 1", "Transfer 1"])
    await good(page, "import-taken")
    assert len(await rows(site.runtime, Instance)) == 6
    assert [one.requested_by for one in await rows(site.runtime, Transfer)] == ["import"]


async def test_two_cds_of_one_layout_both_come(site: Site, tmp_path: Path) -> None:
    page = await site.open("data-entry", "/import")
    await page.click("button:text('Begin an import')")
    await page.wait_for_url("**/import/1")
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "PATCH" else None)
    folders = []
    for number in (1, 2):
        file = tmp_path / f"{number}" / "CD" / "IM1"
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes([number]) * 500)
        os.utime(file, (number, number))
        folders.append(str(file.parent))
    for times, folder in enumerate([*folders, folders[0], folders[1]], start=1):
        await page.set_input_files("#folder", folder)
        await expect(page.locator("#finished")).to_be_visible()
        assert len(sent) == min(times, 2), "chosen again it is here already"
    files = await (await site.api("data-entry"))("GET", "/imports/1/files", 200)
    assert [one["path"] for one in files["items"]] == ["CD/IM1", "2/CD/IM1"]


async def test_imports_of_others_are_not_there(site: Site) -> None:
    await site.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "data-entry"})
    other = await site.api("nobody")
    await other("POST", "/imports", 201, {"project": "BBB"})
    page = await site.open("data-entry", "/import")
    await expect(page.locator(".empty")).to_be_visible()
    for path in ("/import/1", "/import/1/items"):
        answer = await page.goto(path)
        assert answer is not None and answer.status == 404
    viewer = await site.open("viewer")
    assert await viewer.locator("nav a:text('Import')").count() == 0
    answer = await viewer.goto("/import")
    assert answer is not None and answer.status == 403
