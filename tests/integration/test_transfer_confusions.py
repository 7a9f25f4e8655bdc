"""Corrections and cancellations that meet other people, and other work."""

import asyncio

from demo.phantoms import Maker
from shared.admission import Objection
from shared.events import InstanceAssigned, InstanceReceived
from shared.ledger.states import TransferState
from tests.helpers import arrive, transfer_state
from tests.integration.test_life_fixtures import World, world
from tests.line import requested

__all__ = ["world"]


async def test_a_correction_that_mixes_people_up_needs_confirming(world: World) -> None:
    transfer = await world.assign()
    made = Maker(8, size=16).ct(1).instances
    made[0].PatientID = (await world.api("GET", "/studies/1", 200))["patient_id"]
    await world.line.run(InstanceReceived(keys=tuple(arrive(world.runtime, made))))
    other = await world.assign(study=2)  # the same patient, the same participant
    body = {"participant": "AAA_07"}
    problem = await world.api("POST", f"/transfers/{transfer}/correct", 422, body)
    assert problem["errors"][0]["message"] == Objection.PATIENT_IS_ANOTHER.in_words
    # What names nobody else needs no confirming.
    assert (await world.correct(other, event="v2"))["participant"] == "AAA_01"
    assert (await world.correct(transfer, **body, confirmed=True))["participant"] == "AAA_07"


async def test_a_correction_to_somebody_else_needs_confirming(world: World) -> None:
    transfer = await world.assign()
    await world.study(seed=11)
    await world.assign(study=2, participant="AAA_07")
    body = {"participant": "AAA_07"}
    problem = await world.api("POST", f"/transfers/{transfer}/correct", 422, body)
    assert problem["errors"][0]["message"] == Objection.ID_IS_ANOTHERS.in_words
    assert await transfer_state(world.runtime, transfer) == TransferState.REQUESTED
    # Once confirmed it was wrong all the same: whose id it is says nothing about this patient.
    wrong = await world.correct(transfer, **body, confirmed=True)
    assert (await world.correct(wrong["id"], participant="AAA_08"))["participant"] == "AAA_08"


async def test_cancelling_and_beginning_at_once_leave_nothing_on_its_way(world: World) -> None:
    for _ in range(5):
        transfer = await world.assign()
        await asyncio.gather(
            world.line.run(*requested([transfer]), until=InstanceAssigned),
            world.api("POST", f"/transfers/{transfer}/cancel", 200),
        )
        assert (await world.read(transfer))["counts"]["in_flight"] == 0
