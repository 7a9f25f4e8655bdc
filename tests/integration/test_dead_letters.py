"""What people make of messages that nobody could handle."""

import asyncio
from collections.abc import Sequence

import pytest
from playwright.async_api import expect
from sqlalchemy import select

from services.api.consumer import DeadConsumer
from services.api.dead_letters import service
from shared.bus import CLASSIFIER_TRANSFERS, Message, Outcome
from shared.errors import Reason, Retry
from shared.events import DeadLettered, Envelope, TransferRequested
from shared.ledger.tables import AuditEvent, core
from shared.runtime import Runtime
from tests.browser import good
from tests.helpers import handle
from tests.integration.test_api_fixtures import Api
from tests.integration.test_browser_fixtures import Site, needs_chromium

pytest_plugins = [
    "tests.integration.test_api_fixtures",
    "tests.integration.test_browser_fixtures",
]


class Taker:
    """Takes what is sent again."""

    queue = CLASSIFIER_TRANSFERS

    def __init__(self) -> None:
        self.taken: list[Message] = []

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        self.taken += batch

    async def give_up(self, message: Message, reason: Reason) -> None: ...


async def bury(runtime: Runtime, body: str | None = None) -> None:
    """One dead letter: of a transfer's request, or of `body`."""
    event = TransferRequested(transfer_id=7)
    envelope = Envelope.around(event, producer="api", correlation_id="journey")
    died = DeadLettered(
        queue="classifier.transfers",
        reason=Reason.GAVE_UP,
        detail="<b>KeyError</b>",
        body=envelope.model_dump_json() if body is None else body,
    )
    await handle(DeadConsumer(runtime.ledger), died)


async def test_one_is_sent_again_once(any_runtime: Runtime, api: Api) -> None:
    await bury(any_runtime)
    (letter,) = (await api("GET", "/dead-letters?state=open", 200))["items"]
    assert (letter["state"], letter["transfer_id"]) == ("open", 7)
    taker = Taker()
    async with any_runtime.bus.consuming(taker):
        again = await api("POST", f"/dead-letters/{letter['id']}/retry", 200)
    assert (again["state"], again["settled_by"]) == ("retried", "rest") and again["settled_at"]
    (message,) = taker.taken
    assert message.event == TransferRequested(transfer_id=7)
    assert (message.envelope.correlation_id, message.envelope.attempt) == ("journey", 0)
    await api("POST", f"/dead-letters/{letter['id']}/retry", 409)
    await api("POST", f"/dead-letters/{letter['id']}/discard", 409, {"reason": "too late"})
    assert (await api("GET", "/dead-letters?state=open", 200))["items"] == []
    assert (await api("GET", f"/dead-letters/{letter['id']}", 200)) == again
    assert (await api("GET", "/pipeline", 200))["dead_letters"] == 0
    assert await actions(any_runtime) == ["dead-letter.retried"]


async def test_while_the_broker_is_away_it_stays(
    any_runtime: Runtime, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(any_runtime)

    async def away(*_: object, **__: object) -> None:
        raise Retry(Reason.BUS_AWAY)

    monkeypatch.setattr(any_runtime.bus, "publish", away)
    await api("POST", "/dead-letters/1/retry", 503)
    assert (await api("GET", "/dead-letters/1", 200))["state"] == "open"
    assert await actions(any_runtime) == []


async def test_a_broker_that_is_slow_does_not_keep_it_locked(
    any_runtime: Runtime, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(any_runtime)

    async def slow(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(service, "_PATIENCE", 0.1)
    monkeypatch.setattr(any_runtime.bus, "publish", slow)
    await api("POST", "/dead-letters/1/retry", 503)
    assert (await api("GET", "/dead-letters/1", 200))["state"] == "open"


@pytest.mark.parametrize(
    "body", ["", "{", '{"type": "Nordmann^Kari"}', '{"a": ' * 1000, "null", "[]"]
)
async def test_what_nobody_can_read_can_only_be_discarded(
    any_runtime: Runtime, api: Api, body: str
) -> None:
    await bury(any_runtime, body)
    problem = await api("POST", "/dead-letters/1/retry", 422)
    assert "Discard it" in problem["errors"][0]["message"] and "Nordmann" not in str(problem)
    for reason in ("", "  ", "no", "x" * 201, None):
        await api("POST", "/dead-letters/1/discard", 422, {"reason": reason})
    gone = await api("POST", "/dead-letters/1/discard", 200, {"reason": " from a test "})
    assert (gone["state"], gone["settled_why"]) == ("discarded", "from a test")
    assert gone["transfer_id"] is None
    assert await actions(any_runtime) == ["dead-letter.discarded"]
    await api("GET", "/dead-letters/99", 404)
    await api("POST", "/dead-letters/99/retry", 404)


async def actions(runtime: Runtime) -> list[str]:
    table = core(AuditEvent)
    async with runtime.ledger.reading() as connection:
        rows = await connection.execute(select(table.c.action).order_by(table.c.id))
        return [row[0] for row in rows if row[0].startswith("dead-letter")]


@needs_chromium
async def test_they_are_read_sent_again_and_discarded_on_their_page(site: Site) -> None:
    for _ in range(2):
        await bury(site.runtime)
    page = await site.open("operator", "/administration/dead-letters")
    letters = page.locator("section.card")
    await expect(letters).to_have_count(2)
    await letters.first.locator("summary").first.click()
    await expect(letters.first).to_contain_text("<b>KeyError</b>")
    await good(page, "dead-letters")
    await letters.first.get_by_role("button", name="Send it again").click()
    await page.wait_for_url("**/dead-letters?state=retried")
    await expect(letters).to_contain_text("operator")
    await page.click("a:text('Wait for a decision')")
    await letters.locator("summary", has_text="Discard it").click()
    await page.fill("[name=reason]", "  x  ")
    await page.get_by_role("button", name="Discard it").click()
    await expect(page.locator(".complaint")).to_be_visible()
    await good(page, "dead-letters-refused")
    await letters.locator("summary", has_text="Discard it").click()
    await page.fill("[name=reason]", "<i>nobody</i> needs it")
    await page.get_by_role("button", name="Discard it").click()
    await page.wait_for_url("**/dead-letters?state=discarded")
    await expect(letters).to_contain_text("<i>nobody</i> needs it")
    await good(page, "dead-letters-discarded")
    norwegian = await site.open("operator", "/administration/dead-letters", "nb-NO")
    await expect(norwegian.locator(".empty")).to_be_visible()
    viewer = await site.open("viewer", "/administration/dead-letters")
    await expect(viewer.locator("h1")).to_contain_text("those who run Sluse")
