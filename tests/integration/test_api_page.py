"""The web page, and the figures that people and dashboards read."""

import httpx
import markupsafe
import pytest
from sqlalchemy import String

from demo.phantoms import Maker
from shared.admission import Objection
from shared.clock import now
from shared.errors import Reason, Retry
from shared.ledger.states import DeliveryState
from shared.ledger.tables import Study, Transfer, core
from shared.runtime import Runtime
from tests.helpers import end_deliveries, rows
from tests.integration.test_api_fixtures import (
    PROJECT,
    RULE,
    TRANSFER,
    Api,
    receive,
    running_transfer,
    study,
)

pytest_plugins = ["tests.integration.test_api_fixtures"]


async def test_the_page_shows_the_counts_and_no_identity(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    empty = await client.get("/")
    assert "Nothing has been assigned to a project yet" in empty.text
    await running_transfer(any_runtime, api)
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
    assert (await client.get("/static/sluse.js")).is_success


async def test_the_page_says_what_needs_attention(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    await running_transfer(any_runtime, api)
    async with any_runtime.ledger.transaction() as connection:
        await end_deliveries(connection, DeliveryState.FAILED, Reason.GAVE_UP)
        await connection.execute(core(Transfer).update().values(state="attention"))
        await connection.execute(
            core(Study).insert().values(
                {name: "" for name, column in core(Study).columns.items()
                 if isinstance(column.type, String)}
                | {"study_instance_uid": "1.2.3", "routing_note": Objection.PARTICIPANT_PATTERN,
                   "first_received_at": now(), "last_received_at": now()}
            )
        )  # fmt: skip
    await receive(any_runtime, [b"rubbish"])
    page = (await client.get("/")).text
    assert "Needs attention" in page and "2 failed: " + Reason.GAVE_UP.in_words in page
    assert "<b>1 file</b> arrived that could not be read" in page
    assert f"was not taken: {markupsafe.escape(Objection.PARTICIPANT_PATTERN.in_words)}" in page
    figures = await api("GET", "/pipeline", 200)
    assert figures["transfers"] == {"attention": 1}
    assert [one["studies"] for one in figures["unrouted"]] == [1]


async def test_a_rule_is_tried_and_applied_with_a_button(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    assert "no routing rules yet" in (await client.get("/rules")).text
    await api("POST", "/projects", 201, PROJECT)
    for seed, patient_id in ((1, "BICAM_001"), (2, "BICAM_9")):
        image = Maker(seed, size=16).ct(1).instances[0]
        image.PatientID = patient_id
        await receive(any_runtime, [image])
    name = "<b>by hand</b>"
    body = RULE | {"name": name, "called_aet": "SLUSE", "enabled": False}
    rule = await api("POST", "/routing-rules", 201, body)
    listed = (await client.get("/rules")).text
    shown = "sent to <code>SLUSE</code>, and the patient id begins with <code>BICAM_</code>"
    assert shown in listed
    assert name not in listed and str(markupsafe.escape(name)) in listed

    place = f"/rules/{rule['id']}"
    assert "Apply to what is here" not in (await client.get(place)).text  # it is switched off
    assert (await client.post(f"{place}/apply")).status_code == 422
    await api("PUT", f"/routing-rules/{rule['id']}", 200, body | {"enabled": True})
    page = (await client.get(place)).text
    assert '<li><a href="/studies/1">Study 1</a></li>' in page and "Apply to what is here" in page
    assert f"Study 2</a>: {markupsafe.escape(Objection.PARTICIPANT_PATTERN.in_words)}" in page
    for secret in ("BICAM_001", "BICAM_9"):
        assert secret not in page
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await client.post(f"{place}/apply", headers=foreign)).status_code == 403
    done = await client.post(f"{place}/apply", follow_redirects=True)
    assert done.status_code == 200
    assert "<b>1 study is</b> on the way into BICAM. 1 matches and was not taken" in done.text
    assert [one.study_id for one in await rows(any_runtime, Transfer)] == [1]
    assert (await client.get("/rules/99")).status_code == 404


async def test_nothing_is_fetched_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("/", "/rules", "/docs"):
        page = (await client.get(path)).text
        assert "http://" not in page and "https://" not in page and "//cdn" not in page


async def test_the_pipeline_counts_everything(any_runtime: Runtime, api: Api) -> None:
    await study(any_runtime)
    await receive(any_runtime, [b"rubbish"])
    figures = await api("GET", "/pipeline", 200)
    assert figures["arrivals"] == {
        "studies": 1, "instances": 2, "unassigned_studies": 1, "quarantined": 1
    }  # fmt: skip
    assert figures["queues"]["classifier.received"] == 0


async def test_health_and_metrics(any_runtime: Runtime, client: httpx.AsyncClient) -> None:
    await study(any_runtime)
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json()["status"] == "ready"
    metrics = (await client.get("/metrics")).text
    assert 'sluse_ledger_rows{kind="instances"} 2.0' in metrics
    assert "sluse_bus_connected 1.0" in metrics
    await running_transfer(any_runtime, Api(client))
    metrics = (await client.get("/metrics")).text
    assert 'sluse_deliveries{project="BICAM",state="in_flight"} 2.0' in metrics


async def test_what_people_entered_is_shown_as_text(
    any_runtime: Runtime, client: httpx.AsyncClient, api: Api
) -> None:
    event = "<script>alert(1)</script>"
    uid = await study(any_runtime)
    await api("POST", "/projects", 201, PROJECT | {"events": [event]})
    await api("POST", "/transfers", 201, TRANSFER | {"study_instance_uid": uid, "event": event})
    for path in ("/", "/?part"):
        page = (await client.get(path)).text
        assert event not in page and str(markupsafe.escape(event)) in page


async def test_queues_have_no_figure_while_the_broker_is_away(
    any_runtime: Runtime, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = 'sluse_queue_depth{queue="classifier.received"}'
    assert figure in (await client.get("/metrics")).text

    async def away(_: object) -> int:
        raise Retry(Reason.BUS_AWAY)

    monkeypatch.setattr(any_runtime.bus, "depth", away)
    assert figure not in (await client.get("/metrics")).text
    assert (await client.get("/api/v1/pipeline")).json()["queues"]["classifier.received"] is None
