"""The gate: who may come into which project as whom, on both databases."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from shared.admission import Objection, Way
from shared.clock import now
from shared.ledger.assigning import Answer, Request, lock_projects, take
from shared.ledger.tables import (
    Coupling,
    CouplingEntry,
    Participant,
    Project,
    Study,
    Transfer,
    WithdrawnStudy,
    core,
)
from shared.runtime import Runtime
from tests.helpers import make_project, rows

TEMPLATE = "BICAM_{n:3}"


async def make_study(runtime: Runtime, patient_id: str = "P-1", **columns: object) -> int:
    """Enter a study; its id."""
    async with runtime.ledger.transaction() as connection:
        count = len(await rows(runtime, Study)) if runtime.ledger.is_postgres else 0
        result = await connection.execute(
            insert(core(Study))
            .values(
                {
                    "study_instance_uid": f"1.2.{count}.{now().timestamp():.6f}",
                    "patient_id": patient_id, "patient_name": "Nordmann^Kari",
                    "patient_birth_date": "19700101", "patient_sex": "F", "accession_number": "",
                    "study_date": "", "study_description": "", "routing_note": "",
                    "first_received_at": now(), "last_received_at": now(),
                }
                | columns
            )
            .returning(core(Study).c.id)
        )  # fmt: skip
        return int(result.scalar_one())


async def ask(runtime: Runtime, request: Request) -> Answer:
    """What the gate answers."""
    master_key = await runtime.load_master_key()
    async with runtime.ledger.transaction() as connection:
        projects = await lock_projects(connection, [request.project_id])
        return await take(connection, request, projects[request.project_id], master_key)


def objections(answer: Answer) -> list[Objection]:
    return [one.objection for one in answer.against]


async def named(runtime: Runtime) -> list[str]:
    """The pseudonyms of the transfers, in order."""
    pseudonyms = {row.id: row.pseudonym for row in await rows(runtime, Participant)}
    return [pseudonyms[row.participant_id] for row in await rows(runtime, Transfer)]


async def test_sluse_chooses_the_next_id_and_keeps_to_it(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime, participant_pattern=TEMPLATE)
    for patient in ("P-1", "P-2", "P-1", " p-1 "):
        study = await make_study(any_runtime, patient)
        assert (await ask(any_runtime, Request(study, project, Way.REST))).transfer_id
    assert await named(any_runtime) == ["BICAM_001", "BICAM_002", "BICAM_001", "BICAM_001"]


async def test_ids_that_a_coupling_list_promised_are_not_given_away(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime, participant_pattern=TEMPLATE)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(CouplingEntry)).values(
                project_id=project, kind="accession", value_key="x", value="y",
                participant="BICAM_007", event="", site="", uploaded_at=now(),
            )
        )  # fmt: skip
    await ask(any_runtime, Request(await make_study(any_runtime), project, Way.REST))
    assert await named(any_runtime) == ["BICAM_008"]


async def test_requests_at_once_never_give_one_id_twice(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime, participant_pattern=TEMPLATE)
    patients = [f"P-{number % 5}" for number in range(15)]
    studies = [await make_study(any_runtime, patient) for patient in patients]
    answers = await asyncio.gather(
        *(ask(any_runtime, Request(study, project, Way.REST)) for study in studies)
    )
    assert all(answer.transfer_id for answer in answers)
    found = await rows(any_runtime, Transfer)
    by_study = {row.study_id: row.participant_id for row in found}
    by_patient: dict[str, set[int]] = {}
    for study, patient in zip(studies, patients, strict=True):
        by_patient.setdefault(patient, set()).add(by_study[study])
    assert all(len(ids) == 1 for ids in by_patient.values())
    assert len({participant for ids in by_patient.values() for participant in ids}) == 5


async def test_who_is_whom_is_kept_and_can_not_be_read(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime, participant_pattern=TEMPLATE)
    await ask(any_runtime, Request(await make_study(any_runtime, "P-1"), project, Way.REST))
    (row,) = await rows(any_runtime, Coupling)
    assert "P-1" not in row.original and "Nordmann" not in row.original
    master_key = await any_runtime.load_master_key()
    assert json.loads(master_key.decrypt(row.original))["id"] == "P-1"


async def test_a_patient_should_not_become_two_participants(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime)
    first = Request(await make_study(any_runtime), project, Way.REST, "A_1")
    assert (await ask(any_runtime, first)).transfer_id
    second = Request(await make_study(any_runtime), project, Way.REST, "A_2")
    assert objections(await ask(any_runtime, second)) == [Objection.PATIENT_IS_ANOTHER]
    assert (await ask(any_runtime, replace(second, confirmed=True))).transfer_id


async def test_a_participant_should_not_be_two_patients(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime)
    await ask(any_runtime, Request(await make_study(any_runtime), project, Way.REST, "A_1"))
    other = Request(await make_study(any_runtime, "P-2"), project, Way.REST, "A_1")
    assert objections(await ask(any_runtime, other)) == [Objection.ID_IS_ANOTHERS]
    assert (await ask(any_runtime, replace(other, confirmed=True))).transfer_id


async def test_a_study_is_in_a_project_once(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime)
    request = Request(await make_study(any_runtime), project, Way.REST, "A_1")
    first = await ask(any_runtime, request)
    again = await ask(any_runtime, request)
    assert again.existing_id == first.transfer_id and not again.against
    other = await ask(any_runtime, replace(request, participant="A_2"))
    assert Objection.STUDY_IS_ANOTHERS in objections(other)
    assert other.existing_id == first.transfer_id


@pytest.mark.parametrize("everywhere", [False, True], ids=["this project", "every project"])
async def test_withdrawn_studies_are_never_taken(any_runtime: Runtime, everywhere: bool) -> None:
    project = await make_project(any_runtime)
    study = await make_study(any_runtime, study_instance_uid="1.2.3")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(WithdrawnStudy)).values(
                project_id=None if everywhere else project, study_instance_uid="1.2.3",
                withdrawn_at=now(),
            )
        )  # fmt: skip
    answer = await ask(any_runtime, Request(study, project, Way.REST, "A_1"))
    assert objections(answer) == [Objection.STUDY_WITHDRAWN]
    other = await make_project(any_runtime, "OTHER")
    answer = await ask(any_runtime, Request(study, other, Way.REST, "A_1"))
    assert bool(answer.transfer_id) is not everywhere


@pytest.mark.parametrize(
    ("columns", "objection"),
    [
        ({"state": "closed"}, Objection.PROJECT_NOT_ACTIVE),
        ({"rek_end": (now() - timedelta(days=1)).date()}, Objection.APPROVAL_ENDED),
        ({"rek_start": (now() + timedelta(days=1)).date()}, Objection.APPROVAL_NOT_BEGUN),
        ({"participant_pattern": "B_[0-9]"}, Objection.PARTICIPANT_PATTERN),
        ({"events": ["v1"]}, Objection.EVENT_UNKNOWN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_stands_against_a_request(
    any_runtime: Runtime, columns: dict[str, object], objection: Objection
) -> None:
    project = await make_project(any_runtime, **columns)
    request = Request(await make_study(any_runtime), project, Way.REST, "A_1")
    assert objections(await ask(any_runtime, request)) == [objection]
    assert not await rows(any_runtime, Transfer) and not await rows(any_runtime, Coupling)


async def test_sluse_chooses_only_where_it_can(any_runtime: Runtime) -> None:
    by_hand = await make_project(any_runtime)
    study = await make_study(any_runtime)
    answer = await ask(any_runtime, Request(study, by_hand, Way.REST))
    assert objections(answer) == [Objection.NO_TEMPLATE]
    small = await make_project(any_runtime, "SMALL", participant_pattern="S{n:1}")
    for number in range(9):
        one = await make_study(any_runtime, f"N-{number}")
        assert (await ask(any_runtime, Request(one, small, Way.REST))).transfer_id
    answer = await ask(any_runtime, Request(study, small, Way.REST))
    assert objections(answer) == [Objection.NUMBERS_USED_UP]
    nobody = await make_study(any_runtime, "")
    sites = await make_project(any_runtime, "SITES", participant_pattern="S{site:2}{n:2}",
                               sites=["Førde"], site_codes={"Førde": "07"})  # fmt: skip
    answer = await ask(any_runtime, Request(study, sites, Way.REST))
    assert objections(answer) == [Objection.SITE_NEEDED]
    answer = await ask(any_runtime, Request(nobody, sites, Way.REST, site="Førde"))
    assert objections(answer) == [Objection.PARTICIPANT_MISSING]
    assert (await ask(any_runtime, Request(study, sites, Way.REST, site="Førde"))).transfer_id
    assert (await named(any_runtime))[-1] == "S0701"


async def test_a_correction_changes_who_is_whom(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime)
    study = await make_study(any_runtime)
    wrong = await ask(any_runtime, Request(study, project, Way.REST, "A_1"))
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            update(core(Transfer))
            .where(core(Transfer).c.id == wrong.transfer_id)
            .values(state="recalled")
        )
    right = Request(study, project, Way.CORRECTION, "A_2", corrects_id=wrong.transfer_id)
    assert (await ask(any_runtime, right)).transfer_id
    later = Request(await make_study(any_runtime), project, Way.REST, "A_2")
    assert (await ask(any_runtime, later)).transfer_id


async def test_projects_are_locked_in_one_order(any_runtime: Runtime) -> None:
    one, two = await make_project(any_runtime, "ONE"), await make_project(any_runtime, "TWO")
    async with any_runtime.ledger.transaction() as connection:
        found = await lock_projects(connection, [two, one, two])
    assert list(found) == [one, two] and isinstance(found[one], Project)
