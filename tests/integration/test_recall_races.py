"""What was taken back is gone in the end, whatever was on its way out meanwhile."""

from typing import Any

import pytest

from services.forwarder import recalls as worker
from shared.clock import now
from shared.events import InstanceAssigned, TransferRequested
from shared.ledger.deleting import again
from shared.ledger.starting import in_batches
from shared.ledger.states import RecallState, TransferState
from shared.ledger.tables import Delivery
from tests.helpers import rows, transfer_state
from tests.integration.test_recall_fixtures import IMAGES, World, late, world

pytest_plugins = ["tests.integration.test_api_fixtures"]

__all__ = ["world"]


class Slow:
    """Sends an image after its transfer was taken back, and its neighbours were deleted."""

    def __init__(self, world: World, rounds: int) -> None:
        self.world, self.rounds, self.right = world, rounds, 0
        self.real = world.line.destinations
        world.line.destinations = self

    async def send(self, work: Any) -> Any:
        """Send, when everything else has happened."""
        self.world.line.destinations = self.real
        self.right, _ = await self.world.correct(participant="P_2")
        for _ in range(self.rounds):
            await self.world.try_now()
            assert self.world.there() == []
        await self.world.line.run(TransferRequested(transfer_id=self.right))
        return await self.real.send(work)


async def test_an_image_that_slips_out_meanwhile_is_deleted_too(world: World) -> None:
    slow = Slow(world, rounds=1)
    await world.line.run(late(world))
    # Since one was on its way, the right ones wait for a second deletion.
    assert world.there() == ["P_1"]
    assert (await world.recall()).state == RecallState.ASKED
    await world.try_now()
    assert world.there() == []
    assert (await world.recall()).state == RecallState.DONE
    await world.line.run(TransferRequested(transfer_id=slow.right))
    assert world.there() == ["P_2"] * (IMAGES + 1)


async def test_an_image_that_slips_out_after_that_is_deleted_all_the_same(world: World) -> None:
    slow = Slow(world, rounds=2)
    await world.line.run(late(world))
    assert world.there() == ["P_1"] + ["P_2"] * (IMAGES + 1)
    assert (await world.recall()).state == RecallState.ASKED

    await world.runtime.bus.purge()
    await world.try_now()
    assert world.there() == []
    # The right copies went with it: they are made once more.
    read = await world.api("GET", f"/transfers/{slow.right}", 200)
    assert read["counts"]["in_flight"] == IMAGES + 1
    await bring_on(world, slow.right)
    assert world.there() == ["P_2"] * (IMAGES + 1)
    assert await transfer_state(world.runtime, slow.right) == TransferState.COMPLETE


async def test_an_image_that_nobody_lives_to_report_is_deleted(world: World) -> None:
    """The forwarder is killed when it has sent it, and a recall has deleted the others."""

    class Killed(BaseException):
        pass

    class Dying(Slow):
        async def send(self, work: Any) -> Any:
            await super().send(work)
            raise Killed

    dying = Dying(world, rounds=1)
    with pytest.raises(Killed):
        await world.line.run(late(world))
    assert world.there() == ["P_1"]
    recall = await world.recall()
    assert recall.state == RecallState.ASKED and recall.due_at > now()
    await world.try_now()
    assert world.there() == []
    await world.line.run(TransferRequested(transfer_id=dying.right))
    assert world.there() == ["P_2"] * (IMAGES + 1)


async def test_a_deletion_during_which_another_is_asked_for_counts_as_none(world: World) -> None:
    """It may have looked before the image came that the other one is about."""
    await world.correct(participant="P_2")
    delete = world.recalls._delete

    async def meanwhile(destination: Any, study_uid: str) -> None:
        await delete(destination, study_uid)
        async with world.runtime.ledger.transaction() as connection:
            await again(connection, [world.transfer])

    world.recalls._delete = meanwhile  # type: ignore[method-assign]
    await world.try_now()
    assert (await world.recall()).state == RecallState.ASKED
    world.recalls._delete = delete  # type: ignore[method-assign]
    await world.try_now()
    assert (await world.recall()).state == RecallState.DONE


async def bring_on(world: World, transfer: int) -> None:
    """Hand a transfer's deliveries on, as the events that were published would."""
    found = await rows(world.runtime, Delivery, transfer_id=transfer, state="assigned")
    places = [(one.transfer_id, one.series_id, one.id) for one in found]
    for transfer_id, series_id, ids, _ in in_batches(places):
        await world.line.run(
            InstanceAssigned(transfer_id=transfer_id, series_id=series_id, delivery_ids=tuple(ids))
        )


async def test_a_deletion_that_was_not_noted_is_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed between the two."""
    right, _ = await world.correct(participant="P_2")

    class Killed(BaseException):
        pass

    async def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(worker, "done", killed)
        await world.try_now()
    assert world.there() == []
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.REQUESTED
    assert (await world.recall()).state == RecallState.ASKED

    await world.try_now()
    assert (await world.recall()).state == RecallState.DONE
    await world.line.run(TransferRequested(transfer_id=right))
    assert world.there() == ["P_2"] * IMAGES
