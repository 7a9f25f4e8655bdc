"""The REST API and the page, over HTTP in one process."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import markupsafe
import pytest

from demo.phantoms import Maker
from services.anonymizer.work import load
from services.api.app import create_app
from services.api.consumer import DeadConsumer
from services.classifier.consumer import ReceivedConsumer, TransferConsumer
from shared.admission import Objection
from shared.bus import CLASSIFIER_TRANSFERS
from shared.clock import now
from shared.errors import Reason
from shared.events import DeadLettered, InstanceReceived, TransferRequested
from shared.ledger.states import DeliveryState
from shared.ledger.tables import DeadLetter, Delivery, Study, Transfer, core
from shared.profile import Action
from shared.runtime import Runtime
from shared.schemes import Scheme, identifiers
from tests.helpers import arrive, handle, rows

DESTINATION = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
PROJECT = {
    "code": "BICAM", "number": "P20_01", "title": "Ærlig prosjekt", "rek_number": "2019/1",
    "rek_start": "2020-01-01", "rek_end": "2030-01-01", "participant_pattern": "BICAM_[0-9]{3}",
    "events": ["v1", "v2"], "sites": ["Førde"], "date_shift_days": 7,
}  # fmt: skip
RULE = {
    "name": "trusted", "called_aet": "BICAM", "patient_id_pattern": "BICAM_", "project": "BICAM",
    "event": "v1",
}  # fmt: skip


class Api:
    """Calls the API and checks the form of its errors."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __call__(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer = await self.client.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        return answer.json()

    async def refused(self, path: str, body: Any, *fields: str, method: str = "POST") -> None:
        problem = await self(method, path, 422, body)
        assert {error["field"] for error in problem["errors"]} == set(fields)


@pytest.fixture
async def client(any_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


@pytest.fixture
def api(client: httpx.AsyncClient) -> Api:
    return Api(client)


async def study(runtime: Runtime, slices: int = 2) -> str:
    instances = Maker(1, size=16).ct(slices).instances
    keys = arrive(runtime, instances)
    received = ReceivedConsumer(runtime.settings, runtime.ledger, runtime.spool)
    await handle(received, InstanceReceived(keys=tuple(keys)))
    return str(instances[0].StudyInstanceUID)


async def test_destinations(api: Api) -> None:
    made = await api("POST", "/destinations", 201, DESTINATION)
    assert await api("GET", "/destinations", 200) == [made]
    await api("POST", "/destinations", 409, DESTINATION)
    changed = await api("PUT", f"/destinations/{made['id']}", 200, DESTINATION | {"port": 105})
    assert (await api("GET", f"/destinations/{made['id']}", 200)) == changed
    await api("GET", "/destinations/99", 404)
    await api("PUT", "/destinations/99", 404, DESTINATION)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"port": 0}, "port"), ({"port": "x"}, "port"), ({"ae_title": "x" * 17}, "ae_title"),
     ({"ae_title": "a\\b"}, "ae_title"), ({"host": "a b"}, "host"), ({"host": ""}, "host"),
     ({"name": ""}, "name"), ({"extra": 1}, "extra")],
)  # fmt: skip
async def test_a_destination_that_breaks_a_rule_names_the_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    await api.refused("/destinations", DESTINATION | change, field)


async def test_projects(api: Api) -> None:
    destination = await api("POST", "/destinations", 201, DESTINATION)
    made = await api("POST", "/projects", 201, PROJECT | {"destination_id": destination["id"]})
    assert made["title"] == "Ærlig prosjekt" and made["state"] == "active"
    assert "secret" not in made
    assert await api("GET", "/projects", 200) == [made]
    problem = await api("POST", "/projects", 409, PROJECT)
    assert problem["errors"][0]["field"] == "code"
    problem = await api("POST", "/projects", 409, PROJECT | {"code": "OTHER"})
    assert problem["errors"][0]["field"] == "number"
    changed = await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    assert changed == made | {"state": "closed"}
    await api("GET", "/projects/NOSUCH", 404)
    await api("PATCH", "/projects/NOSUCH", 404, {"state": "closed"})
    await api.refused("/projects/BICAM", {"code": "NEW"}, "code", method="PATCH")
    await api.refused("/projects/BICAM", {"date_shift_days": 1}, "date_shift_days", method="PATCH")
    await api.refused("/projects/BICAM", {"rek_end": "2019-12-31"}, "rek_end", method="PATCH")


async def test_a_date_shift_that_nobody_chose_is_drawn(api: Api) -> None:
    drawn = set()
    for number in range(5):
        made = await api("POST", "/projects", 201, {"code": f"PROJECT{number}"})
        assert -730 <= made["date_shift_days"] <= -30
        drawn.add(made["date_shift_days"])
    assert len(drawn) > 1
    made = await api("POST", "/projects", 201, {"code": "KEEPSDATES", "date_shift_days": 0})
    assert made["date_shift_days"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"code": "AB"}, "code"), ({"code": "bicam"}, "code"), ({"code": "A" * 17}, "code"),
     ({"code": "NO SÅR"}, "code"),
     ({"code": "SLUSE"}, "code"), ({"number": "P2020_1"}, "number"),
     ({"participant_pattern": "("}, "participant_pattern"),
     ({"participant_pattern": r"(a)\1"}, "participant_pattern"),
     ({"rek_start": "yesterday"}, "rek_start"), ({"events": [""]}, "events.0"),
     ({"events": ["a\\b"]}, "events.0"), ({"title": "two\nlines"}, "title"),
     ({"rek_start": "2030-01-01", "rek_end": "2020-01-01"}, "rek_end"),
     ({"destination_id": 99}, "destination_id"), ({"date_shift_days": 1.5}, "date_shift_days"),
     ({"state": "sleeping"}, "state")],
)  # fmt: skip
async def test_a_project_that_breaks_a_rule_names_the_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    await api.refused("/projects", PROJECT | change, field)


async def test_routing_rules(api: Api) -> None:
    await api("POST", "/projects", 201, PROJECT)
    made = await api("POST", "/routing-rules", 201, RULE)
    assert await api("GET", "/routing-rules", 200) == [made]
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


async def test_a_transfer_is_requested_and_followed(any_runtime: Runtime, api: Api) -> None:
    uid = await study(any_runtime)
    await api("POST", "/projects", 201, PROJECT)
    (listed,) = (await api("GET", "/studies?unassigned=true", 200))["items"]
    assert (listed["instances"], listed["series"], listed["projects"]) == (2, 1, [])
    body = {
        "study_instance_uid": uid,
        "project": "BICAM",
        "participant": "BICAM_001",
        "event": "v1",
        "site": "Førde",
    }
    made = await api("POST", "/transfers", 201, body)
    assert (made["state"], made["requested_by"]) == ("requested", "rest")
    assert await any_runtime.bus.depth(CLASSIFIER_TRANSFERS) == 1
    await handle(
        TransferConsumer(any_runtime.settings, any_runtime.ledger),
        TransferRequested(transfer_id=made["id"]),
    )
    found = await api("GET", f"/transfers/{made['id']}", 200)
    assert found["counts"] == {
        "delivered": 0,
        "held": 0,
        "failed": 0,
        "in_flight": 2,
        "received": 2,
    }
    assert (await api("GET", "/transfers?project=BICAM&state=running", 200))["items"] == [found]
    assert (await api("GET", "/transfers?state=complete", 200))["items"] == []
    deliveries = await api("GET", f"/transfers/{made['id']}/deliveries?limit=1", 200)
    assert len(deliveries["items"]) == 1 and deliveries["next"]
    path = f"/transfers/{made['id']}/deliveries?limit=1&after={deliveries['next']}"
    assert (await api("GET", path, 200))["next"] is None
    assert (await api("GET", "/studies?unassigned=true", 200))["items"] == []
    assert (await api("GET", "/studies/1", 200))["projects"] == ["BICAM"]
    problem = await api("POST", "/transfers", 409, body | {"participant": "BICAM_002"})
    (error,) = problem["errors"]
    assert error["field"] == "project" and f"transfer {made['id']}" in error["message"]


async def test_a_transfer_that_breaks_a_rule_names_the_field(
    any_runtime: Runtime, api: Api
) -> None:
    await study(any_runtime)
    await api("POST", "/projects", 201, PROJECT)
    good = {"study_id": 1, "project": "BICAM", "participant": "BICAM_001", "event": "v1"}
    await api.refused("/transfers", good | {"study_id": 99}, "study_id")
    await api.refused("/transfers", good | {"project": "NOSUCH"}, "project")
    await api.refused("/transfers", good | {"participant": "X"}, "participant")
    await api.refused("/transfers", good | {"event": "v9", "site": "Oslo"}, "event", "site")
    await api.refused("/transfers", {k: v for k, v in good.items() if k != "project"}, "project")
    for both in ({"study_instance_uid": "1.2"}, {"study_id": None}):
        await api.refused("/transfers", good | both, "study_id")
    problem = await api("POST", "/transfers", 422, good | {"event": "v9"})
    assert problem["errors"][0]["message"] == "Choose one of: v1, v2."
    await api("PATCH", "/projects/BICAM", 200, {"participant_pattern": None})
    (found,) = (await api("GET", "/studies", 200))["items"]
    await api.refused("/transfers", good | {"participant": found["patient_id"]}, "participant")
    await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    await api.refused("/transfers", good, "project")
    assert await rows(any_runtime, Delivery) == []


async def test_failed_images_can_be_retried(any_runtime: Runtime, api: Api) -> None:
    await test_a_transfer_is_requested_and_followed(any_runtime, api)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            core(Delivery)
            .update()
            .values(state="failed", reason=Reason.DESTINATION_REFUSED, detail="A900")
        )
    before = await api("GET", "/transfers/1", 200)
    assert before["troubles"] == [
        {"state": "failed", "reason": Reason.DESTINATION_REFUSED.in_words, "detail": "A900",
         "instances": 2}
    ]  # fmt: skip
    after = await api("POST", "/transfers/1/retry", 200)
    assert (after["state"], after["troubles"], after["counts"]["in_flight"]) == ("running", [], 2)
    assert {d.state for d in await rows(any_runtime, Delivery)} == {DeliveryState.ASSIGNED}
    await api("POST", "/transfers/99/retry", 404)


async def test_lists_come_in_pages(any_runtime: Runtime, api: Api) -> None:
    for seed in range(3):
        keys = arrive(any_runtime, Maker(seed, size=16).ct(1).instances)
        received = ReceivedConsumer(any_runtime.settings, any_runtime.ledger, any_runtime.spool)
        await handle(received, InstanceReceived(keys=tuple(keys)))
    first = await api("GET", "/studies?limit=2", 200)
    rest = await api("GET", f"/studies?limit=2&after={first['next']}", 200)
    assert [s["id"] for s in first["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next"] is None
    await api("GET", "/studies?limit=0", 422)
    await api("GET", "/studies/99", 404)
    await api("GET", "/studies/x", 422)


async def test_the_pipeline_counts_everything(any_runtime: Runtime, api: Api) -> None:
    await study(any_runtime)
    keys = arrive(any_runtime, [b"rubbish"])
    received = ReceivedConsumer(any_runtime.settings, any_runtime.ledger, any_runtime.spool)
    await handle(received, InstanceReceived(keys=tuple(keys)))
    figures = await api("GET", "/pipeline", 200)
    assert figures["arrivals"] == {
        "studies": 1, "instances": 2, "unassigned_studies": 1, "quarantined": 1
    }  # fmt: skip
    assert figures["queues"]["classifier.received"] == 0


async def test_dead_letters_are_kept_once_and_shown(any_runtime: Runtime, api: Api) -> None:
    consumer = DeadConsumer(any_runtime.ledger)
    dead = DeadLettered(queue="q", reason=Reason.GAVE_UP, detail="d", body='{"a": 1}')
    await handle(consumer, dead)
    # What the broker buries itself comes as the message it was.
    await handle(consumer, TransferRequested(transfer_id=7))
    first, second = (await api("GET", "/dead-letters", 200))["items"]
    assert (second["queue"], second["reason"], second["body"]) == ("q", "gave-up", '{"a": 1}')
    assert (first["queue"], first["reason"]) == ("classifier.transfers", "delivery-limit")
    assert len(await rows(any_runtime, DeadLetter)) == 2


async def test_the_quarantine_is_listed(any_runtime: Runtime, api: Api) -> None:
    received = ReceivedConsumer(any_runtime.settings, any_runtime.ledger, any_runtime.spool)
    keys = arrive(any_runtime, [b"rubbish", b"more of it"])
    await handle(received, InstanceReceived(keys=tuple(keys)))
    page = await api("GET", "/quarantine?limit=1", 200)
    (second,) = page["items"]
    (first,) = (await api("GET", f"/quarantine?after={page['next']}", 200))["items"]
    assert (first["reason"], first["size"]) == (Reason.NOT_DICOM.in_words, 7)
    assert any_runtime.spool.path(second["spool_key"]).read_bytes() == b"more of it"
    assert second["calling_aet"] and second["peer_address"]


@pytest.mark.parametrize("length", [None, 2 << 20], ids=["chunked", "announced"])
async def test_an_endless_body_is_refused(client: httpx.AsyncClient, length: int | None) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b" " * (1 << 16)

    headers = {"content-type": "application/json"}
    if length is not None:
        headers["content-length"] = str(length)
    answer = await client.post("/api/v1/projects", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_other_sites_are_kept_out(client: httpx.AsyncClient) -> None:
    rebound = await client.get("/api/v1/studies", headers={"host": "evil.example"})
    assert rebound.status_code == 400
    form = await client.post("/api/v1/transfers", json={}, headers={"sec-fetch-site": "cross-site"})
    assert form.status_code == 403
    assert (await client.get("/", headers={"host": "127.0.0.1:8080"})).is_success


async def test_a_body_that_is_no_json_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/projects", content=b"{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/nothing")
    assert answer.status_code == 404 and answer.json()["title"] == "Not Found"


async def test_errors_do_not_repeat_what_was_sent(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/transfers", json={"participant": {"x": "Nordmann^Kari"}})
    assert answer.status_code == 422 and "Nordmann" not in answer.text


async def test_without_the_database_it_says_so(
    any_runtime: Runtime, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.errors import Retry

    def away() -> None:
        raise Retry(Reason.DATABASE_AWAY)

    monkeypatch.setattr(any_runtime.ledger, "reading", away)
    problem = await api("GET", "/pipeline", 503)
    assert problem["title"] == Reason.DATABASE_AWAY.in_words


async def test_every_operation_has_examples_and_documented_problems(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def has_example(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            target = schemas[schema["$ref"].rpartition("/")[2]]
            return "example" in target or any(
                has_example(one) for one in target.get("properties", {}).values()
            )
        return has_example(schema["items"]) if "items" in schema else "example" in schema

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            if "requestBody" in operation:
                body = operation["requestBody"]["content"]["application/json"]["schema"]
                assert has_example(body), (method, path)
            for status, answer in operation["responses"].items():
                (media,) = answer["content"]
                assert media == (
                    "application/json" if status < "300" else "application/problem+json"
                )
                if status < "300":
                    assert has_example(answer["content"][media]["schema"]), (method, path)


async def test_the_page_shows_the_counts_and_no_identity(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    empty = await client.get("/")
    assert "Nothing has been assigned to a project yet" in empty.text
    await test_a_transfer_is_requested_and_followed(any_runtime, api)
    page = await client.get("/")
    assert "2 assigned = 0 delivered + 0 held + 0 failed + 2 on their way" in page.text
    assert "BICAM_001" in page.text
    (found,) = (await api("GET", "/studies", 200))["items"]
    for secret in ("patient_name", "patient_id", "accession_number", "study_instance_uid"):
        assert found[secret] not in page.text
    part = await client.get("/?part")
    assert "<html" not in part.text and "2 assigned" in part.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert (await client.get("/static/live.js")).is_success


async def test_the_page_says_what_needs_attention(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    await test_failed_images_can_be_retried(any_runtime, api)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(core(Delivery).update().values(state="failed", reason="gave-up"))
        await connection.execute(core(Transfer).update().values(state="attention"))
        await connection.execute(
            core(Study).insert().values(
                {column.name: "" for column in core(Study).columns if column.name != "id"}
                | {"study_instance_uid": "1.2.3", "routing_note": Objection.PARTICIPANT_PATTERN,
                   "first_received_at": now(), "last_received_at": now()}
            )
        )  # fmt: skip
    received = ReceivedConsumer(any_runtime.settings, any_runtime.ledger, any_runtime.spool)
    await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, [b"rubbish"]))))
    page = (await client.get("/")).text
    assert "Needs attention" in page and "2 failed: " + Reason.GAVE_UP.in_words in page
    assert "<b>1 file</b> arrived that could not be read" in page
    assert f"was not taken: {markupsafe.escape(Objection.PARTICIPANT_PATTERN.in_words)}" in page
    figures = await api("GET", "/pipeline", 200)
    assert figures["transfers"] == {"attention": 1}
    assert [one["studies"] for one in figures["unrouted"]] == [1]


async def test_nothing_is_fetched_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = (await client.get(path)).text
        assert "http://" not in page and "https://" not in page and "//cdn" not in page


async def test_health_and_metrics(any_runtime: Runtime, client: httpx.AsyncClient) -> None:
    await study(any_runtime)
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json()["status"] == "ready"
    metrics = (await client.get("/metrics")).text
    assert 'sluse_ledger_rows{kind="instances"} 2.0' in metrics
    assert "sluse_bus_connected 1.0" in metrics
    await test_a_transfer_is_requested_and_followed(any_runtime, Api(client))
    metrics = (await client.get("/metrics")).text
    assert 'sluse_deliveries{project="BICAM",state="in_flight"} 2.0' in metrics


async def test_a_project_of_the_earlier_system_chooses_its_identifiers_for_good(
    any_runtime: Runtime, api: Api
) -> None:
    assert (await api("POST", "/projects", 201, PROJECT))["identifier_scheme"] == "keyed"
    legacy = {"code": "OLD", "identifier_scheme": "legacy-hex", "date_shift_days": 42}
    made = await api("POST", "/projects", 201, legacy)
    assert await api("GET", "/projects/OLD", 200) == made
    assert made["identifier_scheme"] == "legacy-hex"
    fixed = {"identifier_scheme": "keyed"}
    await api.refused("/projects/OLD", fixed, "identifier_scheme", method="PATCH")
    drawn = {"code": "NEW", "identifier_scheme": "legacy-decimal"}
    await api.refused("/projects", drawn, "date_shift_days")
    unknown = legacy | {"code": "NEW", "identifier_scheme": "md5"}
    await api.refused("/projects", unknown, "identifier_scheme")

    uid = await study(any_runtime)
    (found,) = (await api("GET", "/studies", 200))["items"]
    assert found["study_instance_uid"] == uid
    body = {"study_id": found["id"], "project": "OLD", "participant": "OLD_001"}
    transfer = await api("POST", "/transfers", 201, body)
    consumer = TransferConsumer(any_runtime.settings, any_runtime.ledger)
    await handle(consumer, TransferRequested(transfer_id=transfer["id"]))
    master_key = await any_runtime.load_master_key()
    deliveries = [delivery.id for delivery in await rows(any_runtime, Delivery)]
    async with any_runtime.ledger.reading() as connection:
        work, _ = await load(connection, deliveries, master_key)
    names = identifiers(Scheme.LEGACY_HEX, b"", "OLD", uid)
    assert len(work) == 2
    for one in work:
        assert one.released_study_uid == names.uid(0x0020000D, Action.HASHUID_PROJECT, uid)
        original = one.job.uids.instance
        released = names.uid(0x00080018, Action.HASHUID_PROJECT, original)
        assert one.released_sop_uid == released and original not in one.job.target_key


async def test_a_project_may_change_the_table(api: Api) -> None:
    await api("POST", "/projects", 201, PROJECT)
    rule = {"element": "StudyDescription", "action": "remove"}
    profile = json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": [rule]})
    changed = await api("PATCH", "/projects/BICAM", 200, {"profile": profile})
    assert changed["profile"] == profile
    wrong = profile.replace('"remove"', '"remvoe"')
    problem = await api("PATCH", "/projects/BICAM", 422, {"profile": wrong})
    (error,) = problem["errors"]
    assert error["field"] == "profile" and "unknown action" in error["message"]
    assert (await api("GET", "/projects/BICAM", 200))["profile"] == profile
