"""Coupling lists over HTTP, on both databases: uploaded, held against the project, and in force."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openpyxl
import pytest
from sqlalchemy import insert, select, update
from structlog.testing import capture_logs

from demo.phantoms import Maker
from services.api.app import create_app
from services.api.coupling_lists import endpoints
from shared.admission import Objection, Way
from shared.clock import now
from shared.events import InstanceReceived
from shared.ledger.coupling_lists import store
from shared.ledger.tables import CouplingEntry, Project, Study, Transfer, WithdrawnStudy, core
from shared.runtime import Runtime
from tests.helpers import arrive, handle, make_project, received_consumer, rows

HEAD = "accession;study uid;patient id;participant;event\n"
LIST = "/api/v1/projects/BICAM/coupling-list"


@pytest.fixture
async def client(any_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    await make_project(
        any_runtime, participant_pattern="BICAM_[0-9]{3}", events=["v1", "v2"], sites=["Førde"]
    )
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


async def upload(
    client: httpx.AsyncClient, text: str | bytes, status: int = 200, query: str = ""
) -> Any:
    """Upload a list; the answer's report, or the problem."""
    answer = await client.post(f"{LIST}{query}", content=text)
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(client: httpx.AsyncClient) -> list[tuple[str, str, str, str]]:
    answer = await client.get(LIST)
    return [
        (one["kind"], one["value"], one["participant"], one["event"])
        for one in answer.json()["items"]
    ]


async def arrived(runtime: Runtime, seed: int = 1, **elements: str) -> Any:
    """A study that is here: its row."""
    instances = Maker(seed, size=16).ct(1).instances
    for name, value in elements.items():
        setattr(instances[0], name, value)
    keys = arrive(runtime, instances)
    await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))
    (row,) = await rows(runtime, Study, study_instance_uid=instances[0].StudyInstanceUID)
    return row


async def test_a_list_is_stored_encrypted_and_shown_in_clear(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    report = await upload(
        client, HEAD + "A1;;;BICAM_001;v1\n;1.2.3;;BICAM_002;v2\n;;P3;BICAM_003;v1\n"
    )
    assert (report["rows"], report["new"], report["stored"]) == (3, 3, True)
    assert await listed(client) == [
        ("accession", "A1", "BICAM_001", "v1"),
        ("study", "1.2.3", "BICAM_002", "v2"),
        ("patient", "P3", "BICAM_003", "v1"),
    ]
    stored = await rows(any_runtime, CouplingEntry)
    assert not any(value in str(stored) for value in ("A1'", "'P3", "1.2.3"))


async def test_the_same_list_again_changes_nothing(client: httpx.AsyncClient) -> None:
    text = HEAD + "A1;;;BICAM_001;v1\n;;P3;BICAM_003;v1\n"
    await upload(client, text)
    first = (await client.get(LIST)).json()
    report = await upload(client, text.replace("A1", " a1 "))
    assert (report["new"], report["changed"], report["unchanged"]) == (0, 0, 2)
    assert (await client.get(LIST)).json() == first


async def test_a_row_replaces_what_the_list_said_and_says_so(client: httpx.AsyncClient) -> None:
    await upload(client, HEAD + "A1;;;BICAM_001;v1\nA2;;;BICAM_002;v1\n")
    report = await upload(client, HEAD + "A1;;;BICAM_007;v2\nA3;;;BICAM_003;v1\n")
    assert (report["new"], report["changed"]) == (1, 1)
    assert report["warnings"] == [
        {"row": 2, "column": "participant", "message": "The list said BICAM_001, v1 before."}
    ]
    assert [row[2] for row in await listed(client)] == ["BICAM_007", "BICAM_002", "BICAM_003"]


WRONG = (
    HEAD
    + "A1;;;BICAM_001;v1\nA2;;;Kari;v1\nA3;;;BICAM_003;v9\nA4;;;;v1\nA5;;BICAM_005;BICAM_005;v1\n"
)


async def test_when_a_row_is_wrong_nothing_is_taken_and_every_row_is_told(
    client: httpx.AsyncClient,
) -> None:
    problem = await upload(client, WRONG, 422)
    assert problem["title"] == "Nothing was taken: 4 of 5 rows are wrong."
    assert problem["report"]["problems"] == [
        {"row": 3, "column": "participant", "message": Objection.PARTICIPANT_PATTERN.in_words},
        {"row": 4, "column": "event", "message": "Choose one of: v1, v2."},
        {"row": 5, "column": "participant", "message": "The participant is missing."},
        {"row": 6, "column": "participant", "message": Objection.PARTICIPANT_IS_ORIGINAL.in_words},
    ]
    assert problem["errors"][0]["field"] == "row 3 participant"
    assert await listed(client) == []


async def test_the_right_rows_are_taken_where_that_is_asked(client: httpx.AsyncClient) -> None:
    report = await upload(client, WRONG, query="?partial=true")
    assert (report["new"], report["wrong"], report["stored"]) == (1, 4, True)
    assert await listed(client) == [("accession", "A1", "BICAM_001", "v1")]


async def test_a_dry_run_says_all_and_changes_nothing(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    await arrived(any_runtime, AccessionNumber="A1")
    report = await upload(client, WRONG, query="?dry_run=true")
    assert (report["new"], report["wrong"], report["stored"]) == (1, 4, False)
    assert (report["studies"]["matching"], report["studies"]["taken"]) == (1, 0)
    assert await listed(client) == []
    assert await rows(any_runtime, Transfer) == []


@pytest.mark.parametrize(
    ("body", "wrong"),
    [("A1;;;BICAM_001;v1\nA1;;;BICAM_001;v1\n", []),
     ("A1;;;BICAM_001;v1\na1 ;;;BICAM_002;v1\n", [2, 3]),
     ("A1;;;BICAM_001;v1\nA1;;;BICAM_001;v2\n", [2, 3]),
     ("A1;;P1;BICAM_001;v1\nA2;;P1;BICAM_001;v2\n", []),
     ("A1;;P1;BICAM_001;v1\nA2;;P1;BICAM_002;v2\nA3;;;BICAM_003;v1\n", [2, 3]),
     (";;P1;BICAM_001;v1\n;;P1;BICAM_001;v2\n", [2, 3])],
    ids=["the same", "other participant", "other event", "two visits", "two participants",
         "one patient, two events"],
)  # fmt: skip
async def test_rows_that_contradict_each_other_are_all_wrong(
    client: httpx.AsyncClient, body: str, wrong: list[int]
) -> None:
    report = await upload(client, HEAD + body, query="?dry_run=true")
    assert [one["row"] for one in report["problems"]] == wrong
    assert report["rows"] == report["new"] + report["unchanged"] + report["wrong"]


async def test_a_row_that_names_a_study_does_not_bring_the_patients_others(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    report = await upload(client, HEAD + "A1;;P1;BICAM_001;v1\n")
    assert [row[0] for row in await listed(client)] == ["accession"]
    assert "1 rows name a study and a patient id" in report["remarks"][0]
    await arrived(any_runtime, AccessionNumber="A2", PatientID="P1")
    assert await rows(any_runtime, Transfer) == []


async def test_studies_that_are_here_are_taken_and_the_others_are_told(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    by_accession = await arrived(any_runtime, 1, AccessionNumber="a1")
    by_uid = await arrived(any_runtime, 2)
    by_patient = await arrived(any_runtime, 3, PatientID="P3")
    withdrawn = await arrived(any_runtime, 4, AccessionNumber="A4")
    await arrived(any_runtime, 5)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(WithdrawnStudy)).values(
                study_instance_uid=withdrawn.study_instance_uid, withdrawn_at=now()
            )
        )
    text = HEAD + (
        f"A1;;;BICAM_001;v1\n;{by_uid.study_instance_uid};;BICAM_002;v2\n;;p3;BICAM_003;v1\n"
        "A4;;;BICAM_004;v1\n"
    )
    studies = (await upload(client, text))["studies"]
    assert studies == {
        "matching": 4, "taken": 3, "already": 0, "refused": 1,
        "refusals": [
            {"study_id": withdrawn.id, "reasons": [Objection.STUDY_WITHDRAWN.in_words]}
        ],
    }  # fmt: skip
    transfers = await rows(any_runtime, Transfer)
    assert [one.study_id for one in transfers] == [by_accession.id, by_uid.id, by_patient.id]
    assert {one.requested_by for one in transfers} == {Way.LIST}
    assert [one.event for one in transfers] == ["v1", "v2", "v1"]
    (row,) = await rows(any_runtime, Study, id=withdrawn.id)
    assert row.routing_note == Objection.STUDY_WITHDRAWN
    again = (await upload(client, text))["studies"]
    assert (again["taken"], again["already"], again["refused"]) == (0, 3, 1)


async def test_what_a_person_took_out_comes_back_by_a_newer_row_only(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    study = await arrived(any_runtime, AccessionNumber="A1")
    text = HEAD + "A1;;;BICAM_001;v1\n"
    assert (await upload(client, text))["studies"]["taken"] == 1
    (transfer,) = await rows(any_runtime, Transfer)
    assert (await client.post(f"/api/v1/transfers/{transfer.id}/recall")).status_code == 200
    reasons = [Objection.TAKEN_OUT.in_words]
    for studies in (
        (await upload(client, text + "A2;;;BICAM_002;v1\n"))["studies"],
        (await client.post(f"{LIST}/apply")).json(),
    ):
        assert (studies["taken"], studies["refusals"]) == (
            0, [{"study_id": study.id, "reasons": reasons}]
        )  # fmt: skip
    assert (await rows(any_runtime, Study))[0].routing_note == ""
    assert (await upload(client, text.replace("001", "007")))["studies"]["taken"] == 1


async def test_a_study_on_two_projects_lists_goes_into_the_one_that_is_asked_for(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    other_id = await make_project(any_runtime, "OTHER", state="draft")
    others = "/api/v1/projects/OTHER/coupling-list"
    text = HEAD + "A1;;;OTHER_1;\n"
    assert (await client.post(others, content=text)).status_code == 200
    await arrived(any_runtime, AccessionNumber="A1")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Project)).values(state="active"))
    assert (await upload(client, HEAD + "A1;;;BICAM_001;v1\n"))["studies"]["taken"] == 1
    (transfer,) = await rows(any_runtime, Transfer)
    assert transfer.project_id != other_id
    assert (await client.post(f"{others}/apply")).json()["taken"] == 1
    assert len(await rows(any_runtime, Transfer)) == 2


async def test_a_list_that_was_there_first_takes_what_arrives(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    await upload(client, HEAD + "A1;;;BICAM_001;v2\n")
    study = await arrived(any_runtime, AccessionNumber="A1")
    (transfer,) = await rows(any_runtime, Transfer)
    assert (transfer.study_id, transfer.event, transfer.requested_by) == (study.id, "v2", Way.LIST)


async def test_a_patient_who_is_another_participant_already_makes_a_row_wrong(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    await arrived(any_runtime, PatientID="P1")
    await upload(client, HEAD + ";;P1;BICAM_001;v1\n")
    problem = await upload(client, HEAD + ";;P1;BICAM_002;v1\n", 422)
    assert problem["report"]["problems"][0]["message"] == (
        "This patient is participant BICAM_001 in this project already."
    )
    report = await upload(client, HEAD + "A7;;P2;BICAM_001;v1\n")
    assert report["warnings"][0]["row"] == 2


async def test_a_study_under_another_participant_stays_and_is_told(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    await arrived(any_runtime, AccessionNumber="A1", PatientID="")
    await upload(client, HEAD + "A1;;;BICAM_001;v1\n")
    studies = (await upload(client, HEAD + "A1;;;BICAM_002;v1\n"))["studies"]
    assert studies["refusals"][0]["reasons"] == [Objection.STUDY_IS_ANOTHERS.in_words]
    assert len(await rows(any_runtime, Transfer)) == 1


async def test_a_draft_projects_list_waits_until_it_is_applied(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    async def become(state: str) -> None:
        async with any_runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Project)).values(state=state))

    await become("draft")
    await arrived(any_runtime, AccessionNumber="A1")
    report = await upload(client, HEAD + "A1;;;BICAM_001;v1\n")
    assert report["stored"]
    assert report["remarks"][0].startswith(Objection.PROJECT_NOT_ACTIVE.in_words)
    assert report["studies"]["refused"] == 1
    await become("active")
    assert (await client.post(f"{LIST}/apply")).json()["taken"] == 1


async def test_an_arrival_that_saw_the_old_list_is_found(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    """Its transaction looked at the lists before the upload, and commits after it."""
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(Study)).values(
                study_instance_uid="1.2.3", accession_number="A1", patient_id="",
                patient_name="", patient_birth_date="", patient_sex="", study_date="",
                study_description="", routing_note="", first_received_at=now(),
                last_received_at=now(),
            )
        )  # fmt: skip
        uploading = asyncio.create_task(upload(client, HEAD + "A1;;;BICAM_001;v1\n"))
        await asyncio.sleep(0.5)
        assert not uploading.done()
    assert (await uploading)["studies"]["taken"] == 1


async def test_uploads_at_the_same_time_leave_one_row_for_each_key(
    client: httpx.AsyncClient,
) -> None:
    texts = [
        HEAD + "".join(f"A{number};;;BICAM_{which:03};v1\n" for number in order)
        for which, order in enumerate([range(40), range(39, -1, -1), range(40)])
    ]
    reports = await asyncio.gather(*(upload(client, text) for text in texts))
    assert all(report["stored"] for report in reports)
    stored = await listed(client)
    assert len(stored) == 40
    assert len({row[2] for row in stored}) == 1


async def test_an_upload_waits_for_who_has_the_project(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    async with any_runtime.ledger.transaction() as connection:
        # One that the foreign key of a new row does not wait for, as the project's lock does.
        await connection.execute(select(core(Project)).with_for_update(key_share=True))
        uploading = asyncio.create_task(upload(client, HEAD + "A1;;;BICAM_001;v1\n"))
        await asyncio.sleep(0.5)
        assert await rows(any_runtime, CouplingEntry) == []
    assert (await uploading)["stored"]


async def test_rows_can_be_paged_and_removed(client: httpx.AsyncClient) -> None:
    await upload(client, HEAD + "".join(f"A{n};;;BICAM_00{n};v1\n" for n in range(5)))
    first = (await client.get(LIST, params={"limit": 3})).json()
    second = (await client.get(LIST, params={"limit": 3, "after": first["next"]})).json()
    assert [len(first["items"]), len(second["items"]), second["next"]] == [3, 2, None]
    one = first["items"][0]["id"]
    assert (await client.delete(f"{LIST}/{one}")).json() == {"removed": 1}
    assert (await client.delete(f"{LIST}/{one}")).status_code == 404
    assert (await client.delete(LIST)).json() == {"removed": 4}
    assert await listed(client) == []


async def test_a_project_sees_its_own_list_only(
    client: httpx.AsyncClient, any_runtime: Runtime
) -> None:
    await make_project(any_runtime, "OTHER")
    await upload(client, HEAD + "A1;;;BICAM_001;v1\n")
    (entry,) = (await client.get(LIST)).json()["items"]
    others = "/api/v1/projects/OTHER/coupling-list"
    assert (await client.get(others)).json()["items"] == []
    assert (await client.delete(f"{others}/{entry['id']}")).status_code == 404
    assert (await client.delete(others)).json() == {"removed": 0}
    assert len(await listed(client)) == 1
    for method in ("GET", "POST", "DELETE"):
        answer = await client.request(
            method, "/api/v1/projects/NOSUCH/coupling-list", content=HEAD + "A1;;;X;\n"
        )
        assert answer.status_code == 404


async def test_a_form_brings_a_file_as_browsers_and_curl_do(client: httpx.AsyncClient) -> None:
    book = openpyxl.Workbook()
    book.active.append(["accession", "participant", "event"])
    book.active.append(["A1", "BICAM_001", "v1"])
    target = io.BytesIO()
    book.save(target)
    for file in (target.getvalue(), (HEAD + "A1;;;BICAM_001;v1\r\n").encode("cp1252")):
        for fields in ({}, {"x": "y"}):
            answer = await client.post(LIST, files={"file": ("list", file)}, data=fields)
            assert answer.status_code == 200, answer.text
    assert await listed(client) == [("accession", "A1", "BICAM_001", "v1")]
    answer = await client.post(LIST, files={"file": ("", b"")})
    assert answer.json()["errors"] == [{"field": "file", "message": "Choose a file."}]


async def test_bodies_that_are_no_list_are_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"", b"PK\x03\x04", b"\x00" * 100, b"a" * 5000, b"--x\r\n"):
        problem = await upload(client, body, 422)
        assert [one["field"] for one in problem["errors"]] == ["file"]
    form = {"content-type": "multipart/form-data"}
    assert (await client.post(LIST, content=b"--\r\n", headers=form)).status_code == 422
    monkeypatch.setattr(endpoints, "MAX_FILE", 100)
    problem = await upload(client, b"a" * 101, 413)
    assert problem["title"].startswith("The file is too large")


async def test_no_identity_is_logged_or_leaves_by_another_door(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        await upload(client, HEAD + "SECRETACC;;;BICAM_001;v1\n;;SECRETPAT;Kari;v1\n", 422)
        await upload(client, HEAD + "SECRETACC;;;BICAM_001;v1\n;;SECRETPAT;BICAM_002;v1\n")
        await upload(client, HEAD + "SECRETACC;;;BICAM_002;v1\n")
        await client.delete(LIST)
    assert [one["event"] for one in logs] == [
        *["coupling list uploaded"] * 3,
        "coupling list removed",
    ]
    assert "SECRET" not in str(logs)
    for path in ("/metrics", "/api/v1/projects", "/api/v1/transfers"):
        assert "SECRET" not in (await client.get(path)).text


async def test_a_list_changes_wholly_or_not_at_all(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(client, HEAD + "A1;;;BICAM_001;v1\n")

    async def failing(*arguments: Any) -> None:
        await store(*arguments)
        raise RuntimeError

    monkeypatch.setattr("services.api.coupling_lists.service.store", failing)
    with capture_logs():
        await upload(client, HEAD + "A1;;;BICAM_002;v1\nA2;;;BICAM_003;v1\n", 500)
    assert await listed(client) == [("accession", "A1", "BICAM_001", "v1")]
