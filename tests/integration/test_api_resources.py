"""The API's destinations, routing rules, and lists of what arrived."""

from typing import Any

import pytest

from demo.phantoms import Maker
from services.api.consumer import DeadConsumer
from shared.errors import Reason
from shared.events import DeadLettered, TransferRequested
from shared.ledger.tables import DeadLetter
from shared.runtime import Runtime
from tests.helpers import handle, rows
from tests.integration.test_api_fixtures import DESTINATION, PROJECT, RULE, Api, receive

pytest_plugins = ["tests.integration.test_api_fixtures"]


async def test_destinations(api: Api) -> None:
    made = await api("POST", "/destinations", 201, DESTINATION)
    assert await api("GET", "/destinations", 200) == [made]
    await api("POST", "/destinations", 409, DESTINATION)
    changed = await api("PUT", f"/destinations/{made['id']}", 200, DESTINATION | {"port": 105})
    assert (await api("GET", f"/destinations/{made['id']}", 200)) == changed
    await api("GET", "/destinations/99", 404)
    await api("PUT", "/destinations/99", 404, DESTINATION)


async def test_a_destination_over_dicomweb_needs_no_ae_title(api: Api) -> None:
    asked = {
        "name": "web", "protocol": "dicomweb", "url": "https://pacs/dicom-web",
        "credentials": "web.pacs-1", "hours": "Mon-Fri 22:00-06:00, Sat-Sun 00:00-00:00",
    }  # fmt: skip
    made = await api("POST", "/destinations", 201, asked)
    assert {name: made[name] for name in asked} == asked
    assert (made["ae_title"], made["host"], made["port"]) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"port": 0}, "port"), ({"port": "x"}, "port"), ({"ae_title": "x" * 17}, "ae_title"),
     ({"ae_title": "a\\b"}, "ae_title"), ({"host": "a b"}, "host"), ({"host": ""}, "host"),
     ({"name": ""}, "name"), ({"extra": 1}, "extra"), ({"ae_title": None}, "ae_title"),
     ({"protocol": "dicomweb"}, "url"), ({"protocol": "dicomweb", "url": "pacs"}, "url"),
     ({"protocol": "dicomweb", "url": "http://a:b@pacs/d"}, "url"), ({"port": None}, "port"),
     ({"protocol": "dicomweb", "url": "http://pacs/d", "verification": "commitment"},
      "verification"),
     ({"protocol": "dicomweb", "url": "http://pacs/d", "deletion": "dicomweb"}, "deletion_url"),
     ({"credentials": "../etc"}, "credentials"), ({"credentials": ".."}, "credentials"),
     ({"transfer_syntax": "1.2.840.10008.1.2.4.50"}, "transfer_syntax"),
     ({"hours": "22-06"}, "hours"), ({"hours": "Sun 22:00-06:00,"}, "hours")],
)  # fmt: skip
async def test_a_destination_that_breaks_a_rule_names_the_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    await api.refused("/destinations", DESTINATION | change, field)


async def test_routing_rules(api: Api) -> None:
    await api("POST", "/projects", 201, PROJECT)
    made = await api("POST", "/routing-rules", 201, RULE)
    assert await api("GET", "/routing-rules", 200) == [made]
    assert await api("GET", f"/routing-rules/{made['id']}", 200) == made
    await api("GET", "/routing-rules/99", 404)
    await api("POST", "/routing-rules", 409, RULE)
    off = await api("PUT", f"/routing-rules/{made['id']}", 200, RULE | {"enabled": False})
    assert off["enabled"] is False
    await api("PUT", "/routing-rules/99", 404, RULE)
    await api.refused("/routing-rules", RULE | {"name": "b", "project": "NOSUCH"}, "project")
    await api.refused(
        "/routing-rules", RULE | {"name": "b", "event": "v9", "site": "x"}, "event", "site"
    )
    await api.refused("/routing-rules", RULE | {"patient_id_pattern": "["}, "patient_id_pattern")
    for missing in ("called_aet", "patient_id_pattern"):
        await api.refused("/routing-rules", RULE | {missing: None}, missing)
    await api("PATCH", "/projects/BICAM", 200, {"participant_pattern": None})
    # Nothing would keep real patient ids out.
    await api.refused("/routing-rules", RULE | {"name": "b"}, "project")


async def test_lists_come_in_pages(any_runtime: Runtime, api: Api) -> None:
    for seed in range(3):
        await receive(any_runtime, list(Maker(seed, size=16).ct(1).instances))
    first = await api("GET", "/studies?limit=2", 200)
    rest = await api("GET", f"/studies?limit=2&after={first['next']}", 200)
    assert [s["id"] for s in first["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next"] is None
    await api("GET", "/studies?limit=0", 422)
    await api("GET", "/studies/99", 404)
    await api("GET", "/studies/x", 422)


async def test_dead_letters_are_kept_once_and_shown(any_runtime: Runtime, api: Api) -> None:
    consumer = DeadConsumer(any_runtime.ledger)
    dead = DeadLettered(queue="q", reason=Reason.GAVE_UP, detail="d", body='{"a": 1}')
    await handle(consumer, dead)
    # What the broker buries itself comes as the message it was.
    await handle(consumer, TransferRequested(transfer_id=7))
    first, second = (await api("GET", "/dead-letters", 200))["items"]
    assert (second["queue"], second["body"]) == ("q", '{"a": 1}')
    assert second["reason"] == Reason.GAVE_UP.in_words
    assert (first["queue"], first["reason"]) == (
        "classifier.transfers",
        Reason.DELIVERY_LIMIT.in_words,
    )
    newest = await api("GET", "/dead-letters?limit=1", 200)
    assert newest["items"] == [first]
    rest = await api("GET", f"/dead-letters?limit=1&after={newest['next']}", 200)
    assert (rest["items"], rest["next"]) == ([second], None)
    assert len(await rows(any_runtime, DeadLetter)) == 2


async def test_the_quarantine_is_listed(any_runtime: Runtime, api: Api) -> None:
    await receive(any_runtime, [b"rubbish", b"more of it"])
    page = await api("GET", "/quarantine?limit=1", 200)
    (second,) = page["items"]
    (first,) = (await api("GET", f"/quarantine?after={page['next']}", 200))["items"]
    assert (first["reason"], first["size"]) == (Reason.NOT_DICOM.in_words, 7)
    assert any_runtime.spool.path(second["spool_key"]).read_bytes() == b"more of it"
    assert second["calling_aet"] and second["peer_address"]
