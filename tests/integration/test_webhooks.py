"""Webhooks: what is noted, what is sent, how it is signed, tried again and given up."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from services.api.webhooks import addresses, posting
from services.api.webhooks.addresses import AddressError
from services.api.webhooks.sending import Sender
from services.classifier.settling import Settling
from shared.clock import now
from shared.errors import Reason
from shared.ledger.auditing import Action
from shared.ledger.states import DeliveryState, TransferState, WebhookEvent
from shared.ledger.tables import (
    Association,
    AuditEvent,
    Delivery,
    Study,
    Transfer,
    Webhook,
    WebhookDelivery,
    core,
)
from shared.ledger.telling import rows as entries
from shared.ledger.transfers import settle
from shared.ledger.verifying import Verifying, accept, needs_attention, verified
from shared.runtime import Runtime
from shared.settings import Settings
from tests.certificates import Authority
from tests.helpers import end_deliveries, rows
from tests.integration.test_api_fixtures import Api, running_transfer, study
from tests.integration.test_people_fixtures import World
from tests.servers.webpacs import Asked, WebPacs, web_pacs

pytest_plugins = ["tests.integration.test_api_fixtures"]

TRANSFERS = ["transfer.attention", "transfer.complete"]


@pytest.fixture
def receiver() -> Iterator[WebPacs]:
    with web_pacs(lambda _: (204, b"")) as running:
        yield running


@pytest.fixture
def sender(any_runtime: Runtime) -> Sender:
    return Sender(any_runtime)


def hook(receiver: WebPacs, **fields: Any) -> dict[str, Any]:
    return {"name": "workflow", "url": receiver.url, "events": TRANSFERS} | fields


async def send(sender: Sender) -> None:
    """Send all that is due."""
    await sender.look()
    await sender.settle()


async def hold_all(runtime: Runtime, transfer_id: int = 1) -> None:
    async with runtime.ledger.transaction() as connection:
        await end_deliveries(connection, DeliveryState.HELD, Reason.UNREADABLE)
        await settle(connection, [transfer_id])


async def deliver_all(runtime: Runtime, transfer_id: int = 1) -> None:
    table = core(Delivery)
    async with runtime.ledger.transaction() as connection:
        await connection.execute(
            update(table)
            .where(table.c.transfer_id == transfer_id)
            .values(state=DeliveryState.FORWARDED)
        )
        await settle(connection, [transfer_id])


def signed(secret: str, asked: Asked) -> bool:
    """Whether a request is from Sluse, checked as docs/rest.md says."""
    parts = dict(part.split("=", 1) for part in asked.headers["Sluse-Signature"].split(","))
    message = parts["t"].encode() + b"." + asked.body
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


# What is told


async def test_a_transfer_that_needs_attention_is_told_signed(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    made = await api("POST", "/webhooks", 201, hook(receiver))
    assert "secret" not in await api("GET", "/webhooks/1", 200)
    (kept,) = await rows(any_runtime, Webhook)
    assert made["secret"].startswith("whsec_") and made["secret"] not in kept.secret
    await hold_all(any_runtime)
    await send(sender)
    (asked,) = receiver.asked
    assert signed(made["secret"], asked) and not signed("whsec_other", asked)
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Sluse-Event"] == "transfer.attention"
    body = json.loads(asked.body)
    assert body == {
        "id": body["id"], "type": "transfer.attention", "time": body["time"],
        "transfer": {
            "id": 1, "study_id": 1, "project": "BICAM", "state": "attention", "delivered": 0,
            "held": 2, "failed": 0, "missing": 0, "reason": None,
        },
    }  # fmt: skip
    (told,) = (await api("GET", "/webhooks/1/deliveries", 200))["items"]
    assert (told["state"], told["status"], told["attempts"]) == ("delivered", 204, 1)
    assert told["event_id"] == body["id"] and asked.headers["Sluse-Delivery"] == str(told["id"])
    await send(sender)
    assert len(receiver.asked) == 1


async def test_nothing_of_a_patients_is_sent(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver, events=[*TRANSFERS, "study.settled"]))
    await running_transfer(any_runtime, api)
    await settle_studies(any_runtime)
    await deliver_all(any_runtime)
    await send(sender)
    sent = b"".join(one.body for one in receiver.asked).decode()
    (row,) = await rows(any_runtime, Study)
    for secret in (row.study_instance_uid, row.patient_id, row.patient_name, "BICAM_001"):
        assert secret and secret not in sent
    assert {json.loads(one.body)["type"] for one in receiver.asked} == {
        "study.settled", "transfer.complete"
    }  # fmt: skip


async def settle_studies(runtime: Runtime) -> None:
    long_ago = now() - timedelta(days=2)
    async with runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Study)).values(last_received_at=long_ago))
        await connection.execute(update(core(Association)).values(closed_at=long_ago))
    await Settling(runtime.settings, runtime.bus, runtime.ledger).look()


async def test_studies_settle_for_the_whole_system_only(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    await api.refused(
        "/webhooks", hook(receiver, project="BICAM", events=["study.settled"]), "events"
    )
    await api("POST", "/webhooks", 201, hook(receiver, events=["study.settled"]))
    await settle_studies(any_runtime)
    await send(sender)
    (asked,) = receiver.asked
    assert json.loads(asked.body)["study"] == {"id": 1, "series": 1, "instances": 2}


async def test_every_way_to_be_complete_or_need_attention_is_told(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    await api("POST", "/webhooks", 201, hook(receiver))
    one = Verifying(1, 1, "1.2", 0, 0, now())
    nothing_open = {"state": TransferState.VERIFYING, "in_flight": 0, "delivered": 0}

    async def verifying() -> None:
        async with any_runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Transfer)).values(nothing_open))

    await verifying()
    async with any_runtime.ledger.transaction() as connection:
        await verified(connection, one)
        await verified(connection, one)  # it is no news
    await verifying()
    async with any_runtime.ledger.transaction() as connection:
        await needs_attention(connection, one, Reason.MISSING_THERE, missing=2)
    async with any_runtime.ledger.transaction() as connection:
        assert await accept(connection, 1)
    told = [json.loads(row.body) for row in await rows(any_runtime, WebhookDelivery)]
    assert [one["type"] for one in told] == [
        "transfer.complete", "transfer.attention", "transfer.complete"
    ]  # fmt: skip
    assert told[1]["transfer"]["reason"] == Reason.MISSING_THERE
    assert told[1]["transfer"]["missing"] == 2


async def test_what_was_rolled_back_is_not_told(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    await api("POST", "/webhooks", 201, hook(receiver))
    with pytest.raises(ZeroDivisionError):
        async with any_runtime.ledger.transaction() as connection:
            await end_deliveries(connection, DeliveryState.HELD, Reason.UNREADABLE)
            await settle(connection, [1])
            raise ZeroDivisionError
    assert await rows(any_runtime, WebhookDelivery) == []
    await hold_all(any_runtime)
    assert len(await rows(any_runtime, WebhookDelivery)) == 1


async def test_only_who_wants_to_know_is_told(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    await api("POST", "/projects", 201, {"code": "OTHER"})
    host = {"url": "https://workflow.example/x"}
    await api("POST", "/webhooks", 201, hook(receiver, events=["transfer.complete"]))
    await api("POST", "/webhooks", 201, hook(receiver, enabled=False))
    await api("POST", "/webhooks", 201, hook(receiver, project="OTHER", **host))
    await api("POST", "/webhooks", 201, hook(receiver, project="BICAM", **host))
    await hold_all(any_runtime)
    assert [one.webhook_id for one in await rows(any_runtime, WebhookDelivery)] == [4]


# How it is sent


async def test_what_is_not_taken_is_tried_again(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    await api("POST", "/webhooks", 201, hook(receiver))
    receiver.answer = lambda _: (503, b"no " * 100)
    await hold_all(any_runtime)
    await send(sender)
    assert (await api("GET", "/webhooks/1", 200))["waiting"] == 1
    (told,) = (await api("GET", "/webhooks/1/deliveries", 200))["items"]
    assert (told["state"], told["status"], told["detail"]) == (
        "waiting", 503, "It answered with 503."
    )  # fmt: skip
    await send(sender)
    assert len(receiver.asked) == 1, "it is not due yet"
    receiver.answer = lambda _: (200, b"")
    await asyncio.sleep(any_runtime.settings.retry_delays[0])
    await send(sender)
    first, second = receiver.asked
    assert first.body == second.body
    assert first.headers["Sluse-Delivery"] == second.headers["Sluse-Delivery"]
    assert (await api("GET", "/webhooks/1", 200))["waiting"] == 0


async def test_redirects_are_not_followed(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    receiver.headers["Location"] = receiver.url + "/elsewhere"
    receiver.answer = lambda _: (307, b"")
    told = await api("POST", "/webhooks/1/test", 200)
    assert (told["state"], told["status"]) == ("given-up", 307)
    assert len(receiver.asked) == 1


async def test_after_a_day_it_is_given_up_where_everybody_sees_it(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    receiver.answer = lambda _: (500, b"")
    await enter(any_runtime, 30)
    async with any_runtime.ledger.transaction() as connection:
        yesterday = now() - timedelta(days=1, seconds=1)
        await connection.execute(
            update(core(WebhookDelivery))
            .where(core(WebhookDelivery).c.id <= 29)
            .values(created_at=yesterday)
        )
    await send(sender)
    assert len(receiver.asked) == 1, "nor are all the others tried once more"
    found = await api("GET", "/webhooks/1", 200)
    assert (found["given_up"], found["waiting"]) == (29, 1)


async def enter(runtime: Runtime, number: int) -> None:
    """Note events for the first webhook."""
    values = [one for _ in range(number) for one in entries("transfer.complete", {}, [1])]
    async with runtime.ledger.transaction() as connection:
        await connection.execute(insert(core(WebhookDelivery)), values)


async def test_several_replicas_tell_each_thing_once_and_in_order(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    await enter(any_runtime, 35)
    senders = [Sender(any_runtime) for _ in range(3)]
    await asyncio.gather(*(send(one) for one in senders))
    told = [int(one.headers["Sluse-Delivery"]) for one in receiver.asked]
    assert sorted(told) == list(range(1, 36))
    receiver.asked.clear()
    await enter(any_runtime, 12)
    await send(senders[0])
    assert [int(one.headers["Sluse-Delivery"]) for one in receiver.asked] == list(range(36, 48))


async def test_what_a_dead_replica_had_taken_is_sent_when_its_time_is_over(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    await enter(any_runtime, 2)
    dying = Sender(any_runtime)
    receiver.answer = lambda _: (time.sleep(0.3), (204, b""))[1]
    await dying.look()
    while not receiver.asked:  # it has claimed both
        await asyncio.sleep(0.01)
    for task in list(dying._busy.values()):
        task.cancel()
    await send(sender)
    assert len(receiver.asked) == 1
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(update(core(WebhookDelivery)).values(due_at=now()))
    await send(sender)
    # At least once: the first was taken, and nobody has noted it.
    assert [one.headers["Sluse-Delivery"] for one in receiver.asked] == ["1", "1", "2"]


async def test_one_that_hangs_keeps_nobody_waiting(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(posting, "TIMEOUT", 0.5)
    with web_pacs(lambda _: (time.sleep(3), (204, b""))[1]) as hanging:
        await api("POST", "/webhooks", 201, hook(hanging))
        await api("POST", "/webhooks", 201, hook(receiver))
        async with any_runtime.ledger.transaction() as connection:
            values = entries("transfer.complete", {}, [1, 2])
            await connection.execute(insert(core(WebhookDelivery)), values)
        await send(sender)
    first, second = await rows(any_runtime, WebhookDelivery)
    assert first.event_id == second.event_id
    assert (first.state, first.detail) == ("waiting", "It did not answer in time.")
    assert second.state == "delivered"


async def test_the_loop_sends_by_itself_and_survives(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await api("POST", "/webhooks", 201, hook(receiver))
    failures = iter([ZeroDivisionError])
    look = sender.look

    async def stumbling() -> None:
        for failure in failures:
            raise failure
        await look()

    monkeypatch.setattr(sender, "look", stumbling)
    running = asyncio.create_task(sender.run())
    await enter(any_runtime, 1)
    async with asyncio.timeout(10):
        while not receiver.asked:
            await asyncio.sleep(0.05)
    running.cancel()


async def test_tls_is_checked_by_name(
    any_runtime: Runtime, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    knows = any_runtime.settings.model_copy(update={"webhook_ca": ours.certificate})
    object.__setattr__(any_runtime, "settings", knows)
    posting._context.cache_clear()
    for authority, works in ((ours, True), (theirs, False)):
        with web_pacs(lambda _: (204, b""), authority.issue(f"server-{works}")) as running:
            made = await api("POST", "/webhooks", 201, hook(running))
            told = await api("POST", f"/webhooks/{made['id']}/test", 200)
            assert (told["state"] == "delivered") is works, told
    posting._context.cache_clear()


# Where it may lie


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a.example/x", "http://8.8.8.8/x", "https://u:p@a.example/", "http://169.254.169.254/",
     "https://[fe80::1]/", "https://0.0.0.0/", "https://224.0.0.1/", "http://[::ffff:169.254.1.1]/",
     "file:///etc/passwd", "//a.example"],
)  # fmt: skip
async def test_some_addresses_are_refused(api: Api, url: str) -> None:
    body = {"name": "x", "url": url, "events": TRANSFERS}
    await api.refused("/webhooks", body, "url")


@pytest.mark.parametrize(
    ("url", "found", "says"),
    [("http://far.example/", "93.184.216.34", "need https"),
     ("https://near.example/", "169.254.169.254", "such an address"),
     ("https://near.example/", "127.0.0.1", "own machine")],
)  # fmt: skip
async def test_what_a_name_stands_for_is_looked_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str, found: str, says: str
) -> None:
    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("10.0.0.1", 80)), (2, 1, 6, "", (found, 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    with pytest.raises(AddressError, match=says):
        await addresses.resolve(url, settings, of_project=True)


async def test_a_projects_webhook_reaches_this_machine_only_where_it_is_named(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await api("POST", "/projects", 201, {"code": "AAA"})
    await api.refused("/webhooks", hook(receiver, project="AAA"), "url")
    named = any_runtime.settings.model_copy(update={"webhook_hosts": frozenset({"127.0.0.1"})})
    object.__setattr__(any_runtime, "settings", named)
    made = await api("POST", "/webhooks", 201, hook(receiver, project="AAA"))
    told = await api("POST", f"/webhooks/{made['id']}/test", 200)
    assert told["state"] == "delivered"
    elsewhere = hook(receiver, url="https://workflow.example/")
    await api.refused("/webhooks", elsewhere, "url")


# The resource


async def test_webhooks_are_changed_and_removed_and_audited(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    await enter(any_runtime, 3)
    changed = await api("PATCH", "/webhooks/1", 200, {"enabled": False})
    assert (changed["name"], changed["enabled"], changed["given_up"]) == ("workflow", False, 3)
    await send(sender)
    assert receiver.asked == []
    await api.refused("/webhooks/1", {"url": "http://8.8.8.8/"}, "url", method="PATCH")
    await api.refused("/webhooks/1", {"secret": "x"}, "secret", method="PATCH")
    await api(
        "PATCH", "/webhooks/1", 200, {"enabled": True, "name": "other", "events": TRANSFERS[:1]}
    )
    assert [one["name"] for one in await api("GET", "/webhooks", 200)] == ["other"]
    page = await api("GET", "/webhooks/1/deliveries?limit=2", 200)
    assert [one["id"] for one in page["items"]] == [3, 2] and page["next"] == 2
    await api("DELETE", "/webhooks/1", 204)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        await api(method, f"/webhooks/1{path}", 404)
    assert await rows(any_runtime, WebhookDelivery) == []
    done = [one.action for one in await rows(any_runtime, AuditEvent)]
    assert done == [
        Action.WEBHOOK_CREATED, Action.WEBHOOK_CHANGED, Action.WEBHOOK_CHANGED,
        Action.WEBHOOK_REMOVED,
    ]  # fmt: skip


async def test_there_are_only_so_many(api: Api, receiver: WebPacs) -> None:
    for _ in range(20):
        await api("POST", "/webhooks", 201, hook(receiver))
    await api.refused("/webhooks", hook(receiver), "name")


async def test_a_webhook_that_is_removed_meanwhile_stops_no_transfer(
    any_runtime: Runtime, api: Api, receiver: WebPacs
) -> None:
    await running_transfer(any_runtime, api)
    for _ in range(4):
        await api("POST", "/webhooks", 201, hook(receiver))
    held = hold_all(any_runtime)
    removed = [api("DELETE", f"/webhooks/{number}", 204) for number in range(1, 5)]
    await asyncio.gather(*removed[:2], held, *removed[2:])
    (transfer,) = await rows(any_runtime, Transfer)
    assert transfer.state == TransferState.ATTENTION
    assert await rows(any_runtime, WebhookDelivery) == []


async def test_what_was_long_ago_is_forgotten(
    any_runtime: Runtime, api: Api, sender: Sender, receiver: WebPacs
) -> None:
    await api("POST", "/webhooks", 201, hook(receiver))
    await enter(any_runtime, 2)
    async with any_runtime.ledger.transaction() as connection:
        table = core(WebhookDelivery)
        await connection.execute(
            update(table).where(table.c.id == 1).values(created_at=now() - timedelta(days=15))
        )
    await send(sender)
    assert [one.id for one in await rows(any_runtime, WebhookDelivery)] == [2]


def test_every_event_can_be_wanted() -> None:
    assert {"study.settled", *TRANSFERS} == set(WebhookEvent)


async def test_studies_without_webhooks_cost_one_look(any_runtime: Runtime) -> None:
    await study(any_runtime)
    await settle_studies(any_runtime)
    assert await rows(any_runtime, WebhookDelivery) == []


async def test_owners_see_and_change_only_their_projects(
    any_runtime: Runtime, receiver: WebPacs
) -> None:
    world = World(any_runtime)
    await world.set_up()
    url = {"url": "https://workflow.example/x"}
    for project in (None, "AAA", "BBB"):
        await world.root("POST", "/webhooks", 201, hook(receiver, project=project, **url))
    assert len(await world.root("GET", "/webhooks", 200)) == 3
    owner = await world.api("owner")
    assert [one["project"] for one in await owner("GET", "/webhooks", 200)] == ["AAA"]
    await owner("POST", "/webhooks", 201, hook(receiver, project="AAA", **url))
    await owner("POST", "/webhooks", 403, hook(receiver, **url))
    await owner.refused("/webhooks", hook(receiver, project="BBB", **url), "project")
    for number in (1, 3):
        for method, path in [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/deliveries"),
            ("POST", "/test"),
        ]:
            await owner(method, f"/webhooks/{number}{path}", 404)
        await owner("PATCH", f"/webhooks/{number}", 404, {"enabled": False})
    await owner("DELETE", "/webhooks/2", 204)
    for role in ("data-manager", "operator"):
        await (await world.api(role))("GET", "/webhooks", 403)
    for client in world.clients:
        await client.aclose()
