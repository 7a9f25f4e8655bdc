"""All cases of a project are processed again."""

from typing import Any

import pytest

from services.api.projects import processing
from shared.admission import Objection
from shared.events import Event, InstanceAnonymized, InstanceAssigned
from shared.ledger.auditing import Action
from shared.ledger.starting import in_batches
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import (
    Delivery,
    Instance,
    Transfer,
)
from tests.helpers import rows, transfer_state
from tests.integration.test_life_fixtures import IMAGES, World, second, world
from tests.line import requested

pytest_plugins = ["tests.integration.test_api_fixtures"]

__all__ = ["world"]


async def test_a_project_is_processed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "_AT_ONCE", 1)  # in several steps
    first, later = await world.assign(), await world.assign(study=await second(world))
    cancelled, other = await world.assign("BBB"), await world.assign("BBB", study=2)
    await world.line.run(*requested([first, later, cancelled, other]))
    await world.correct(cancelled, project="BBB", event="v2", participant="BBB_07")
    (waiting,) = [one.id for one in await rows(world.runtime, Transfer, state="requested")]
    sizes = [one.size for one in await rows(world.runtime, Instance)]
    expected = await world.api("GET", "/projects/AAA/process-again/estimate", 200)
    assert expected.pop("seconds") is not None
    assert expected == {"studies": 2, "evicted": 0, "images": 2 * IMAGES, "bytes": sum(sizes)}

    await world.runtime.bus.purge()
    answer = await world.api("POST", "/projects/AAA/process-again", 202)
    assert answer["images"] == 2 * IMAGES
    for transfer in (first, later):
        found = await world.read(transfer)
        assert (found["state"], found["counts"]["in_flight"]) == ("running", IMAGES)
    assert (await world.read(other))["counts"]["delivered"] == IMAGES
    await world.api("POST", "/projects/BBB/process-again", 202)
    assert await transfer_state(world.runtime, waiting) == TransferState.REQUESTED
    states = {one.state for one in await rows(world.runtime, Delivery, transfer_id=cancelled)}
    assert states == {DeliveryState.WITHDRAWN}
    assert (Action.PROJECT_PROCESSED_AGAIN, {
        "project": 1, "transfers_up_to": later, "studies": 2, "images": 2 * IMAGES
    }) in await world.audited()  # fmt: skip


async def test_a_project_that_takes_no_images_is_not_processed_again(world: World) -> None:
    transfer = await world.assign()
    await world.line.run(*requested([transfer]))
    await world.api("PATCH", "/projects/AAA", 200, {"rek_end": "2020-01-01"})
    problem = await world.api("POST", "/projects/AAA/process-again", 422)
    assert problem["errors"][0]["message"] == Objection.APPROVAL_ENDED.in_words
    assert await transfer_state(world.runtime, transfer) == TransferState.COMPLETE
    for path in ("process-again/estimate", "process-again"):
        method = "GET" if path.endswith("estimate") else "POST"
        await world.api(method, f"/projects/NOSUCH/{path}", 404)


async def test_the_result_of_work_that_was_begun_before_does_not_count(world: World) -> None:
    """Else the old copy would stay there, taken for the new one."""
    transfer = await world.assign()
    (old,) = await world.line.run(*requested([transfer]), until=InstanceAnonymized)
    kept: list[Event] = []
    real = world.line.destinations

    class Slow:
        async def send(self, work: list[Any]) -> list[Any]:
            world.line.destinations = real
            await world.api("POST", "/projects/AAA/process-again", 202)
            kept.extend(
                await world.line.run(*await assigned(world, transfer), until=InstanceAnonymized)
            )
            return await real.send(work)

    world.line.destinations = Slow()
    await world.line.step(old)
    states = {one.state for one in await rows(world.runtime, Delivery, transfer_id=transfer)}
    assert states == {DeliveryState.ANONYMIZED}
    await world.line.run(*kept)
    assert await transfer_state(world.runtime, transfer) == TransferState.COMPLETE


async def assigned(world: World, transfer: int) -> list[Event]:
    found = await rows(world.runtime, Delivery, transfer_id=transfer, state="assigned")
    places = [(one.transfer_id, one.series_id, one.id) for one in found]
    return [
        InstanceAssigned(transfer_id=one, series_id=series, delivery_ids=tuple(ids))
        for one, series, ids, _ in in_batches(places)
    ]
