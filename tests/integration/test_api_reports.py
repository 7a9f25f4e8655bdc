"""What people list and count: studies, series, transfers, participants, progress."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.api.app import create_app
from services.api.studies.days import start_of
from shared.clock import now
from shared.events import InstanceReceived
from shared.ledger.states import TransferState
from shared.ledger.tables import Series, Study, Transfer, core
from shared.runtime import Runtime
from tests.helpers import arrive, handle, make_project, received_consumer, request_transfer
from tests.integration.test_api_fixtures import receive

_DAY = timedelta(days=1)
JUNE = date(2024, 6, 1)


class Api:
    """Reads the API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = await self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def ids(self, path: str, **query: Any) -> list[int]:
        """The ids on a list's only page."""
        page = await self.get(path, **query)
        assert page["next"] is None
        return [row["id"] for row in page["items"]]

    async def search(self, text: str, **query: Any) -> list[int]:
        answer = await self.client.post("/api/v1/studies/search", json={"text": text}, params=query)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["items"]]

    async def refused(self, path: str, field: str, **query: Any) -> None:
        problem = await self.get(path, 422, **query)
        assert [error["field"] for error in problem["errors"]] == [field]


@pytest.fixture
async def api(any_runtime: Runtime) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield Api(opened)


async def enter(runtime: Runtime, model: Any, **values: Any) -> int:
    async with runtime.ledger.transaction() as connection:
        table = core(model)
        row = await connection.execute(insert(table).values(values).returning(table.c.id))
        return int(row.scalar_one())


async def study(runtime: Runtime, number: int, **values: Any) -> int:
    moment = values.pop("received", now())
    return await enter(
        runtime, Study, study_instance_uid=f"1.2.{number}",
        **{"patient_id": f"p{number}", "patient_name": "", "patient_birth_date": "",
           "patient_sex": "", "accession_number": f"a{number}", "study_date": "",
           "study_description": "", "routing_note": "", "first_received_at": moment,
           "last_received_at": moment, "settled_at": None} | values,
    )  # fmt: skip


async def series(runtime: Runtime, study_id: int, number: int, **values: Any) -> int:
    return await enter(
        runtime, Series, study_id=study_id, series_instance_uid=f"1.3.{number}",
        **{"modality": "MR", "series_number": "1", "series_description": "", "facts": {},
           "labels": {}, "first_received_at": now()} | values,
    )  # fmt: skip


async def transfer(
    runtime: Runtime, study_id: int, project_id: int, participant: str = "P_1",
    event: str = "", **columns: Any,
) -> int:  # fmt: skip
    async with runtime.ledger.transaction() as connection:
        found = await request_transfer(
            connection, study_id=study_id, project_id=project_id, participant=participant,
            event=event,
        )  # fmt: skip
        assert found is not None
        if columns:
            table = core(Transfer)
            await connection.execute(update(table).where(table.c.id == found).values(columns))
    return found


async def test_a_study_is_shown_with_its_modalities_labels_and_counts(
    any_runtime: Runtime, api: Api
) -> None:
    keys = arrive(any_runtime, Maker(1, size=16).ct(3).instances)
    await handle(received_consumer(any_runtime), InstanceReceived(keys=tuple(keys)))
    await series(any_runtime, 1, 9, modality="SR", labels={"labels": ["z", "dose report"]})
    await series(any_runtime, 1, 10, modality="", labels={"labels": ["z"]})
    (found,) = (await api.get("/studies"))["items"]
    assert (found["series"], found["instances"]) == (1, 3)
    assert found["modalities"] == ["CT", "SR"]
    (classified,) = (await api.get("/studies/1/series", limit=1))["items"]
    assert classified["labels"] == sorted(set(classified["labels"])) != []
    assert found["labels"] == sorted({"dose report", "z", *classified["labels"]})
    for label in found["labels"]:
        assert await api.ids("/studies", label=label) == [1]
    assert found["settled_at"] is None and found == await api.get("/studies/1")


async def test_studies_are_filtered_by_what_was_done_with_them(
    any_runtime: Runtime, api: Api
) -> None:
    bicam, other = await make_project(any_runtime), await make_project(any_runtime, "OTHER")
    for number in range(1, 6):
        await study(any_runtime, number, settled_at=now() if number < 3 else None)
    await transfer(any_runtime, 1, bicam)
    await transfer(any_runtime, 2, bicam)
    await transfer(any_runtime, 2, other)
    await transfer(any_runtime, 3, bicam, state=TransferState.CANCELLED)
    await transfer(any_runtime, 3, other)
    await transfer(any_runtime, 5, other, state=TransferState.RECALLED)
    assert await api.ids("/studies") == [5, 4, 3, 2, 1]
    assert await api.ids("/studies", unassigned=True) == [5, 4]
    assert await api.ids("/studies", unassigned=False) == [3, 2, 1]
    assert await api.ids("/studies", project="BICAM") == [2, 1]
    assert await api.ids("/studies", project="OTHER", settled=False) == [3]
    assert await api.ids("/studies", settled=True) == [2, 1]
    assert await api.ids("/studies", project="NOSUCH") == []
    arrivals = (await api.get("/pipeline"))["arrivals"]
    assert (arrivals["studies"], arrivals["unassigned_studies"]) == (5, 2)
    await api.refused("/studies", "project", project="nosuch")
    # A filter that is spelled wrong must not show everything.
    await api.refused("/studies", "unasigned", unasigned=True)


async def test_studies_are_filtered_by_what_is_in_them(any_runtime: Runtime, api: Api) -> None:
    for number in range(1, 4):
        await study(any_runtime, number)
    await series(any_runtime, 1, 1, labels={"labels": ["T1", "original"], "version": 1})
    await series(any_runtime, 1, 2, modality="SR", labels={"labels": []})
    await series(any_runtime, 2, 1, labels={"labels": ["T2"], "because": {"T1": "no"}})
    await series(any_runtime, 3, 1, modality="CT")
    assert await api.ids("/studies", modality="MR") == [2, 1]
    assert await api.ids("/studies", modality="SR") == [1]
    assert await api.ids("/studies", label="T1") == [1]
    assert await api.ids("/studies", label="T") == []
    assert await api.ids("/studies", label="T2", modality="MR") == [2]
    assert await api.ids("/studies", label="T2", modality="CT") == []


async def test_studies_are_found_by_their_identifiers_in_full(
    any_runtime: Runtime, api: Api
) -> None:
    await study(any_runtime, 1, patient_id="x", accession_number="y")
    await study(any_runtime, 2, patient_id="y", accession_number="z")
    assert await api.search("y") == [2, 1]
    assert await api.search(" x ") == [1]
    assert await api.search("1.2.2") == [2]
    assert await api.search("1.2") == []
    assert await api.search("y", limit=1, after=2) == [1]
    assert await api.search("y", unassigned=False) == []
    for text in ("", "  ", "x" * 65):
        answer = await api.client.post("/api/v1/studies/search", json={"text": text})
        assert answer.json()["errors"][0]["field"] == "text"


async def test_studies_are_filtered_and_counted_by_day_of_arrival(
    any_runtime: Runtime, api: Api
) -> None:
    begins = [start_of(JUNE + number * _DAY) for number in range(4)]
    moments = [begins[0], begins[1] - timedelta(seconds=1), begins[2], begins[3]]
    for number, moment in enumerate(moments, start=1):
        await study(any_runtime, number, received=moment)
    assert await api.ids("/studies", received_from="2024-06-01", received_to="2024-06-01") == [2, 1]
    assert await api.ids("/studies", received_from="2024-06-02") == [4, 3]
    assert await api.ids("/studies", received_to="2024-06-03") == [3, 2, 1]
    await transfer(any_runtime, 1, await make_project(any_runtime))
    june = {"first_day": "2024-06-01", "last_day": "2024-06-03"}
    days = await api.get("/studies/calendar", **june)
    assert [(day["day"], day["studies"]) for day in days] == [("2024-06-01", 2), ("2024-06-03", 1)]
    unassigned = await api.get("/studies/calendar", **june, unassigned=True)
    assert [day["studies"] for day in unassigned] == [1, 1]
    (day,) = await api.get("/studies/calendar", **june, project="BICAM")
    assert (day["day"], day["studies"]) == ("2024-06-01", 1)


async def test_studies_are_filtered_and_counted_by_study_date(
    any_runtime: Runtime, api: Api
) -> None:
    dates = ["20240601", "20240601", "20240603", "2024060", "", "20240605"]
    for number, text in enumerate(dates, start=1):
        await study(any_runtime, number, study_date=text)
    assert await api.ids("/studies", studied_from="2024-06-02") == [6, 3]
    assert await api.ids("/studies", studied_from="2024-06-01", studied_to="2024-06-01") == [2, 1]
    assert 5 not in await api.ids("/studies", studied_to="2024-06-03")
    days = await api.get(
        "/studies/calendar", by="studied", first_day="2024-05-31", last_day="2024-06-03"
    )
    assert [(day["day"], day["studies"]) for day in days] == [("2024-06-01", 2), ("2024-06-03", 1)]


async def test_a_calendar_counts_modalities(any_runtime: Runtime, api: Api) -> None:
    first, second = (list(Maker(seed, size=16).ct(1).instances) for seed in (1, 2))
    second[0].Modality = "MR"
    both = list(Maker(2, size=16).ct(1).instances)
    both[0].SeriesInstanceUID, both[0].SOPInstanceUID = "1.2.3.4", "1.2.3.5"
    for image in (*first, *second, *both):
        image.StudyDate = "20240601"
    await receive(any_runtime, [*first, *second, *both])
    june = {"first_day": "2024-06-01", "last_day": "2024-06-03"}
    expected = {"day": "2024-06-01", "studies": 2, "modalities": {"CT": 2, "MR": 1}}
    assert await api.get("/studies/calendar", **june, by="studied") == [expected]
    today = f"{now().astimezone().date()}"
    received = await api.get("/studies/calendar", first_day=today, last_day=today)
    assert received == [expected | {"day": today}]


async def test_a_calendar_has_an_end(api: Api) -> None:
    day = {"first_day": "2024-01-01"}
    assert await api.get("/studies/calendar", **day, last_day="2024-12-31") == []
    await api.refused("/studies/calendar", "last_day", **day, last_day="2025-01-01")
    await api.refused("/studies/calendar", "last_day", **day, last_day="2023-12-31")
    await api.refused("/studies/calendar", "last_day", **day)
    await api.refused("/studies/calendar", "first_day", first_day="0001-01-01", last_day=JUNE)
    await api.refused("/studies", "received_to", received_to="9999-12-31")


@pytest.fixture
def in_oslo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server whose clock is Norway's."""
    monkeypatch.setenv("TZ", "Europe/Oslo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_oslo")
async def test_days_are_those_of_the_servers_clock_when_clocks_change_too(
    any_runtime: Runtime, api: Api
) -> None:
    # 31 March 2024 had 23 hours in Norway: it began at 23:00 UTC, and ended at 22:00.
    for number, (day, hour) in enumerate([(30, 22), (30, 23), (31, 21), (31, 22)], start=1):
        moment = datetime(2024, 3, day, hour, 30, tzinfo=UTC)
        await study(any_runtime, number, received=moment)
    sunday = {"received_from": "2024-03-31", "received_to": "2024-03-31"}
    assert await api.ids("/studies", **sunday) == [3, 2]
    days = await api.get("/studies/calendar", first_day="2024-03-30", last_day="2024-04-01")
    assert [day["studies"] for day in days] == [1, 2, 1]


async def test_a_studys_series_come_in_pages_with_labels_and_facts(
    any_runtime: Runtime, api: Api
) -> None:
    await study(any_runtime, 1)
    await study(any_runtime, 2)
    await series(any_runtime, 1, 1, facts={"EchoTime": "88"}, labels={"labels": ["T2", "FLAIR"]})
    await series(any_runtime, 2, 2)
    await series(any_runtime, 1, 3)
    first = await api.get("/studies/1/series", limit=1)
    (found,) = first["items"]
    assert (found["labels"], found["facts"]) == (["FLAIR", "T2"], {"EchoTime": "88"})
    assert found == await api.get("/series/1")
    assert await api.ids("/studies/1/series", limit=1, after=first["next"]) == [3]
    assert (await api.get("/series/3"))["labels"] == []
    await api.get("/studies/99/series", 404)
    await api.get("/series/99", 404)


async def test_transfers_are_filtered(any_runtime: Runtime, api: Api) -> None:
    bicam, other = await make_project(any_runtime), await make_project(any_runtime, "OTHER")
    for number in range(1, 4):
        await study(any_runtime, number)
    june = start_of(JUNE)
    await transfer(any_runtime, 1, bicam, "P_1", "v1", requested_at=june, delivered=3, failed=1)
    await transfer(any_runtime, 2, bicam, "P_2", state="complete", requested_at=june + _DAY)
    await transfer(any_runtime, 2, other, "P_1", "v2", requested_at=june - timedelta(seconds=1))
    assert await api.ids("/transfers", participant="P_1") == [3, 1]
    assert await api.ids("/transfers", participant="P_1", project="BICAM") == [1]
    assert await api.ids("/transfers", event="v1") == [1]
    assert await api.ids("/transfers", event="") == [2]
    assert await api.ids("/transfers", state="complete", project="BICAM") == [2]
    assert await api.ids("/transfers", requested_from="2024-06-01") == [2, 1]
    assert await api.ids("/transfers", requested_to="2024-06-01") == [3, 1]
    (first,) = (await api.get("/transfers", event="v1"))["items"]
    assert first["counts"] == {
        "delivered": 3, "held": 0, "failed": 1, "in_flight": 0, "received": 4
    }  # fmt: skip


async def test_participants_are_listed_by_pseudonym_only(any_runtime: Runtime, api: Api) -> None:
    bicam, other = await make_project(any_runtime), await make_project(any_runtime, "OTHER")
    for number in range(1, 4):
        await study(any_runtime, number, patient_name="Nordmann^Kari")
    await transfer(any_runtime, 1, bicam, "P_1", "v1")
    await transfer(any_runtime, 2, bicam, "P%2")
    await transfer(any_runtime, 3, bicam, "P_1", "v2", state="cancelled")
    await transfer(any_runtime, 3, other, "P_1")
    page = await api.get("/projects/BICAM/participants", limit=1)
    (second,) = page["items"]
    (first,) = (await api.get("/projects/BICAM/participants", after=page["next"]))["items"]
    assert (first["pseudonym"], first["studies"]) == ("P_1", 1)
    last = first["last_transfer"]
    assert (last["id"], last["event"], last["state"]) == (3, "v2", "cancelled")
    assert (second["pseudonym"], second["studies"]) == ("P%2", 1)
    assert set(first) == {"id", "pseudonym", "created_at", "studies", "last_transfer"}
    assert await api.ids("/projects/BICAM/participants", starts_with="P%") == [second["id"]]
    await api.get("/projects/NOSUCH/participants", 404)


async def test_a_projects_progress_counts_what_is_its_own(any_runtime: Runtime, api: Api) -> None:
    bicam, other = await make_project(any_runtime), await make_project(any_runtime, "OTHER")
    for number in range(1, 4):
        await study(any_runtime, number)
    await transfer(any_runtime, 1, bicam, "P_1", state="attention", delivered=5, held=1)
    await transfer(any_runtime, 2, bicam, "P_2", state="running", delivered=2, in_flight=3)
    await transfer(any_runtime, 3, other, "P_1", state="complete", delivered=100)
    assert await api.get("/projects/BICAM/progress") == {
        "participants": 2,
        "transfers": {"attention": 1, "running": 1},
        "instances": {"delivered": 7, "held": 1, "failed": 0, "in_flight": 3, "received": 11},
    }
    await api.get("/projects/NOSUCH/progress", 404)
