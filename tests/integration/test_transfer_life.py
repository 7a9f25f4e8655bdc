"""A transfer is stopped, corrected and taken back; several projects take the same study."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from demo.phantoms import Maker
from shared.admission import Objection
from shared.clock import now
from shared.events import InstanceAnonymized, InstanceAssigned, InstanceReceived, TransferRequested
from shared.ledger.auditing import Action
from shared.ledger.starting import renew
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import (
    AuditEvent,
    Coupling,
    Delivery,
    Instance,
    Participant,
    Recall,
    RoutingRule,
    Transfer,
    core,
)
from tests.corpus import read
from tests.helpers import arrive, delivery_states, rows, transfer_state
from tests.integration.test_life_fixtures import IMAGES, World, second, world
from tests.line import requested

pytest_plugins = ["tests.integration.test_api_fixtures"]

__all__ = ["world"]


async def test_cancelling_stops_what_is_under_way(world: World) -> None:
    transfer = await world.assign()
    (copies,) = await world.line.run(*requested([transfer]), until=InstanceAnonymized)
    assert isinstance(copies, InstanceAnonymized)
    one = copies.model_copy(update={"delivery_ids": copies.delivery_ids[:1]})
    await world.line.step(one)
    cancelled = await world.api("POST", f"/transfers/{transfer}/cancel", 200)
    assert cancelled["state"] == TransferState.CANCELLED
    assert cancelled["counts"] == {
        "delivered": 1, "held": 0, "failed": 0, "in_flight": 0, "received": 1
    }  # fmt: skip
    await world.line.run(copies)
    await world.study(images=IMAGES + 1)  # a late image
    await world.line.run(*requested([transfer]))
    async with world.runtime.ledger.reading() as connection:
        states = await delivery_states(connection, transfer)
    assert sorted(states) == ["forwarded", "withdrawn", "withdrawn"]
    async with world.runtime.ledger.transaction() as connection:
        changed = [row.id for row in await connection.execute(select(core(Instance)))]
        # Images that have changed start nothing either.
        assert await renew(connection, changed, transfer_ids=[transfer], patience=1) == []
    found = await world.read(transfer)
    assert (found["counts"]["delivered"], found["withdrawn"]) == (1, IMAGES - 1)
    await world.api("POST", f"/transfers/{transfer}/retry", 409)
    problem = await world.api("POST", f"/transfers/{transfer}/cancel", 409)
    assert problem["title"] == "It is cancelled already."
    await world.api("POST", "/transfers/99/cancel", 404)
    assert (Action.TRANSFER_CANCELLED, {
        "transfer": transfer, "before": {"state": "running"}, "after": {"state": "cancelled"}
    }) in await world.audited()  # fmt: skip


async def test_a_transfer_that_has_not_begun_never_does_once_cancelled(world: World) -> None:
    transfer = await world.assign()
    await world.api("POST", f"/transfers/{transfer}/cancel", 200)
    assert await world.line.run(*requested([transfer]), until=InstanceAssigned) == []
    assert await rows(world.runtime, Delivery) == []
    assert await world.assign() != transfer


async def test_what_is_delivered_is_not_cancelled_but_corrected(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    problem = await world.api("POST", f"/transfers/{transfer}/cancel", 409)
    assert "correct it instead" in problem["title"]
    assert (await world.read(transfer))["counts"]["delivered"] == IMAGES


async def test_a_cancelled_transfer_can_still_be_taken_back(world: World) -> None:
    transfer = await world.assign()
    (copies,) = await world.line.run(*requested([transfer]), until=InstanceAnonymized)
    await world.line.step(copies.model_copy(update={"delivery_ids": copies.delivery_ids[:1]}))  # type: ignore[attr-defined]
    await world.api("POST", f"/transfers/{transfer}/cancel", 200)
    await world.correct(transfer, event="v2")
    (recall,) = await rows(world.runtime, Recall)
    # All that were ready to be sent: nobody knows of the others that they were not.
    assert (recall.transfer_id, recall.instances) == (transfer, IMAGES)


async def test_what_a_cancelled_transfer_delivered_stays_that_participants(world: World) -> None:
    transfer = await world.assign()
    (copies,) = await world.line.run(*requested([transfer]), until=InstanceAnonymized)
    await world.line.step(copies.model_copy(update={"delivery_ids": copies.delivery_ids[:1]}))  # type: ignore[attr-defined]
    await world.api("POST", f"/transfers/{transfer}/cancel", 200)
    body = {"study_id": 1, "project": "AAA", "event": "v1", "participant": "AAA_07"}
    problem = await world.api("POST", "/transfers", 422, body | {"confirmed": True})
    assert [one["message"] for one in problem["errors"]] == [Objection.STUDY_IS_ANOTHERS.in_words]
    await world.api("POST", f"/transfers/{transfer}/recall", 200)
    assert (await world.read(transfer))["withdrawn"] == IMAGES
    await world.api("POST", "/transfers", 201, body)


async def test_what_should_never_have_been_is_taken_back(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    # Also when the project would not take the study any more.
    await world.api("PATCH", "/projects/AAA", 200, {"state": "closed"})
    taken = await world.api("POST", f"/transfers/{transfer}/recall", 200)
    assert (taken["state"], taken["counts"]["delivered"]) == ("recalled", 0)
    (recall,) = await rows(world.runtime, Recall)
    assert (recall.transfer_id, recall.instances) == (transfer, IMAGES)
    assert await rows(world.runtime, Coupling) == []
    assert (Action.TRANSFER_RECALLED, {
        "transfer": transfer, "before": {"state": "complete"}, "after": {"state": "recalled"}
    }) in await world.audited()  # fmt: skip
    await world.api("POST", f"/transfers/{transfer}/recall", 409)
    await world.api("POST", "/transfers/99/recall", 404)


async def test_a_correction_changes_what_it_names_and_keeps_the_rest(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    right = await world.correct(transfer, event="v2")
    assert (right["participant"], right["event"], right["project"]) == ("AAA_01", "v2", "AAA")
    assert (right["requested_by"], right["corrects_id"]) == ("correction", transfer)
    wrong = await world.read(transfer)
    assert (wrong["state"], wrong["counts"]["received"]) == ("recalled", 0)
    again = await world.correct(right["id"], participant="AAA_07", event="v1")
    assert (again["participant"], again["event"]) == ("AAA_07", "v1")
    participants = {one.pseudonym: one.id for one in await rows(world.runtime, Participant)}
    assert (await world.audited())[-1] == (Action.TRANSFER_CORRECTED, {
        "study": 1,
        "before": {"transfer": right["id"], "state": "requested", "project": 1,
                   "participant": participants["AAA_01"], "event": "v2", "site": ""},
        "after": {"transfer": again["id"], "project": 1,
                  "participant": participants["AAA_07"], "event": "v1", "site": ""},
    })  # fmt: skip


async def test_the_next_study_of_the_patient_follows_the_correction(world: World) -> None:
    transfer = await world.assign()
    await world.correct(transfer, participant="AAA_07")
    made = Maker(8, size=16).ct(1).instances
    made[0].PatientID = (await world.api("GET", "/studies/1", 200))["patient_id"]
    await world.line.run(InstanceReceived(keys=tuple(arrive(world.runtime, made))))
    assert (await world.read(await world.assign(study=2)))["participant"] == "AAA_07"


async def test_in_the_right_project_the_study_is_somebody_new(world: World) -> None:
    transfer = await world.assign(participant="AAA_33")
    await world.line.run(*requested([transfer]))
    right = await world.correct(transfer, project="BBB", event="v2")
    assert (right["participant"], right["event"]) == ("BBB_01", "v2")
    assert not right["waits_for_deletion"]
    # Nobody in the wrong project is that patient any more: another one may be AAA_33.
    (coupling,) = await rows(world.runtime, Coupling)
    assert coupling.project_id == 2
    await world.study(seed=9)
    assert await world.assign(study=2, participant="AAA_33")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "participant"), ({"participant": None}, "participant"),
     ({"participant": "AAA_01"}, "participant"), ({"event": "v1"}, "event"),
     ({"event": "v9"}, "event"), ({"participant": "X"}, "participant"),
     ({"project": "NOSUCH"}, "project"), ({"project": "BBB"}, "event"), ({"state": "x"}, "state")],
    ids=["nothing", "null", "same-participant", "same-event", "no-such-event", "no-such-id",
         "no-such-project", "event-missing", "unknown-field"],
)  # fmt: skip
async def test_a_correction_that_is_refused_takes_nothing_back(
    world: World, body: dict[str, Any], field: str
) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    before = await world.read(transfer)
    audited = await world.audited()
    await world.api.refused(f"/transfers/{transfer}/correct", body, field)
    assert await world.read(transfer) == before
    assert await rows(world.runtime, Recall) == []
    assert {one.state for one in await rows(world.runtime, Delivery)} == {DeliveryState.FORWARDED}
    assert await world.audited() == audited


async def test_a_study_that_is_in_the_right_project_already_stays_where_it_is(world: World) -> None:
    transfer = await world.assign()
    other = await world.assign("BBB")
    body = {"project": "BBB", "event": "v1"}
    problem = await world.api("POST", f"/transfers/{transfer}/correct", 409, body)
    assert f"transfer {other}" in problem["errors"][0]["message"]
    assert await transfer_state(world.runtime, transfer) == TransferState.REQUESTED


async def test_of_two_corrections_at_once_one_counts(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    answers = await asyncio.gather(
        *(
            world.api.client.post(
                f"/api/v1/transfers/{transfer}/correct", json={"participant": one}
            )
            for one in ("AAA_07", "AAA_08")
        )
    )
    assert sorted(one.status_code for one in answers) == [201, 409]
    assert len(await rows(world.runtime, Recall)) == 1
    in_force = [
        one for one in await rows(world.runtime, Transfer) if one.state != TransferState.RECALLED
    ]
    assert len(in_force) == 1


async def test_a_pseudonym_that_came_with_the_images_stays_theirs(world: World) -> None:
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(RoutingRule)).values(
                name="r", enabled=True, priority=1, called_aet="IN", patient_id_pattern="AAA_",
                project_id=1, event="v1", site="", trusted=True, created_at=now(),
            )
        )  # fmt: skip
    (image,) = Maker(8, size=16).ct(1).instances
    image.PatientID = "AAA_55"
    await world.line.run(InstanceReceived(keys=tuple(arrive(world.runtime, [image], called="IN"))))
    (transfer,) = await rows(world.runtime, Transfer)
    right = await world.correct(transfer.id, event="v2")
    assert right["participant"] == "AAA_55"
    right = await world.correct(right["id"], participant="AAA_56")
    back = await world.correct(right["id"], participant="AAA_55")
    assert back["participant"] == "AAA_55"


async def test_several_projects_have_copies_of_their_own(world: World) -> None:
    patient_id = await world.study()
    transfers = [await world.assign("AAA"), await world.assign("BBB")]
    await asyncio.gather(*(world.line.run(*requested([one])) for one in transfers))
    uids: list[set[str]] = []
    for transfer, participant in zip(transfers, ("AAA_01", "BBB_01"), strict=True):
        deliveries = await rows(world.runtime, Delivery, transfer_id=transfer)
        copies = [read(world.runtime.spool.path(one.released_key)) for one in deliveries]
        assert len(copies) == IMAGES
        assert {str(copy.PatientID) for copy in copies} == {participant} != {patient_id}
        uids.append({str(copy[tag].value) for copy in copies
                     for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
                                 "FrameOfReferenceUID", "AccessionNumber", "StudyID")})  # fmt: skip
    assert not uids[0] & uids[1]
    other = await world.read(transfers[1])
    await world.correct(transfers[0], participant="AAA_09")
    assert await world.read(transfers[1]) == other
    assert [one.pseudonym for one in await rows(world.runtime, Participant)] == [
        "AAA_01", "BBB_01", "AAA_09"
    ]  # fmt: skip


async def test_a_late_image_goes_to_every_project_that_has_the_study(world: World) -> None:
    transfers = [await world.assign("AAA"), await world.assign("BBB")]
    await world.line.run(*requested(transfers))
    await world.api("POST", f"/transfers/{await world.assign('AAA', study=await second(world))}"
                            "/cancel", 200)  # fmt: skip
    await world.study(images=IMAGES + 1)
    for transfer in transfers:
        assert (await world.read(transfer))["counts"]["delivered"] == IMAGES + 1


@pytest.mark.parametrize(
    ("change", "objection"),
    [({"rek_start": "2990-01-01"}, Objection.APPROVAL_NOT_BEGUN),
     ({"rek_end": "2020-01-01"}, Objection.APPROVAL_ENDED)],
)  # fmt: skip
async def test_outside_its_approval_a_project_takes_nothing(
    world: World, change: dict[str, str], objection: Objection
) -> None:
    await world.api("PATCH", "/projects/AAA", 200, change)
    problem = await world.api(
        "POST", "/transfers", 422, {"study_id": 1, "project": "AAA", "event": "v1"}
    )
    assert [one["message"] for one in problem["errors"]] == [objection.in_words]


async def test_an_id_names_the_site_by_its_code(world: World) -> None:
    body = {
        "code": "CCC", "participant_pattern": "CCC{site:2}_{n:3}", "sites": ["Bergen", "Førde"],
        "site_codes": {"Bergen": "01", "Førde": "02"},
    }  # fmt: skip
    await world.api("POST", "/projects", 201, body)
    transfer = await world.assign("CCC", event="", site="Førde")
    assert (await world.read(transfer))["participant"] == "CCC02_001"
    await world.api.refused("/projects/CCC", {"sites": ["Bergen"]}, "site_codes", method="PATCH")
    other = await world.correct(transfer, site="Bergen", participant="CCC01_001")
    assert other["site"] == "Bergen"
    await world.api.refused(f"/transfers/{other['id']}/correct", {"site": "Førde"}, "participant")


async def test_requests_and_retries_are_audited(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]), until=InstanceAnonymized)
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Delivery)).values(state="failed"))
    await world.api("POST", f"/transfers/{transfer}/retry", 200)
    events = [one for one in await rows(world.runtime, AuditEvent) if "transfer" in one.action]
    assert [(one.actor, one.action, one.subject) for one in events] == [
        ("rest", Action.TRANSFER_REQUESTED, {"transfer": transfer, "study": 1}),
        ("rest", Action.TRANSFER_RETRIED, {"transfer": transfer, "instances": IMAGES}),
    ]
    assert await world.line.run(TransferRequested(transfer_id=transfer)) == []
