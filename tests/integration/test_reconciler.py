"""The reconciler: what messages should have announced and did not."""

import asyncio
import os
from datetime import timedelta

import pytest
from sqlalchemy import update

from demo.phantoms import Maker
from services.classifier.consumer import TransferConsumer
from services.classifier.reconciler import Reconciler
from shared.admission import Way
from shared.bus import ANONYMIZER_ASSIGNED, CLASSIFIER_RECEIVED, CLASSIFIER_TRANSFERS
from shared.clock import now
from shared.events import AssociationClosed, InstanceReceived, TransferRequested
from shared.ledger.states import DeliveryState
from shared.ledger.tables import Delivery, Transfer, core
from shared.runtime import Runtime
from tests.helpers import arrive, handle, make_project, received_consumer, request_transfer, rows


@pytest.fixture
def reconciler(any_runtime: Runtime) -> Reconciler:
    runtime = any_runtime
    return Reconciler(runtime.settings, runtime.bus, runtime.ledger, runtime.spool)


async def requested(runtime: Runtime, slices: int = 3) -> int:
    keys = arrive(runtime, Maker(1, size=16).ct(slices).instances)
    received = received_consumer(runtime)
    await handle(received, InstanceReceived(keys=tuple(keys)))
    project = await make_project(runtime)
    async with runtime.ledger.transaction() as connection:
        transfer = await request_transfer(
            connection, study_id=1, project_id=project, participant="P_1", event="", site="",
            requested_by=Way.REST,
        )  # fmt: skip
    assert transfer is not None
    return transfer


async def age(runtime: Runtime, model: type, column: str) -> None:
    async with runtime.ledger.transaction() as connection:
        await connection.execute(
            update(core(model)).values({column: now() - timedelta(minutes=10)})
        )


async def test_files_left_in_the_inbox_are_announced_once_they_are_old(
    any_runtime: Runtime, reconciler: Reconciler
) -> None:
    keys = arrive(any_runtime, Maker(1, size=16).ct(3).instances)
    await reconciler.reconcile(patience=60)
    assert await any_runtime.bus.depth(CLASSIFIER_RECEIVED) == 0
    for key in keys:
        os.utime(any_runtime.spool.path(key), (1, 1))
    assert await reconciler.reconcile(patience=60)
    assert await any_runtime.bus.depth(CLASSIFIER_RECEIVED) == 1
    # What waits in the queue is not announced a second time.
    await reconciler.reconcile(patience=60)
    assert await any_runtime.bus.depth(CLASSIFIER_RECEIVED) == 1


async def test_an_empty_inbox_folder_whose_end_was_not_heard_is_cleared(
    any_runtime: Runtime, reconciler: Reconciler
) -> None:
    keys = arrive(any_runtime, Maker(1, size=16).ct(1).instances)
    any_runtime.spool.discard(keys)
    await reconciler.reconcile(patience=0)
    received = received_consumer(any_runtime)
    await handle(
        received, AssociationClosed(association_id=any_runtime.spool.association_of(keys[0]))
    )
    assert await any_runtime.bus.depth(CLASSIFIER_RECEIVED) == 1
    assert any_runtime.spool.waiting_associations() == []


@pytest.mark.parametrize("noted", [True, False], ids=["open", "unnamed"])
async def test_an_association_whose_receiver_was_killed_ends_at_last(
    any_runtime: Runtime, reconciler: Reconciler, noted: bool
) -> None:
    spool = any_runtime.spool
    keys = arrive(any_runtime, Maker(1, size=16).ct(1).instances)
    association_id = spool.association_of(keys[0])
    spool.discard(keys)
    sender = spool.read_association(association_id)
    assert sender is not None
    still_open = sender.model_copy(update={"closed_at": None, "completed": False})
    spool.write_association(association_id, still_open)
    folder = spool.path(keys[0]).parent
    if not noted:
        (folder / "association.json").unlink()
    await reconciler.reconcile(patience=0)
    assert spool.waiting_associations() == [association_id], "it may go on"
    os.utime(folder, (1, 1))
    await reconciler.reconcile(patience=0)
    if noted:
        ended = spool.read_association(association_id)
        assert ended is not None and ended.closed_at is not None and not ended.completed
        await reconciler.reconcile(patience=0)
        await handle(
            received_consumer(any_runtime), AssociationClosed(association_id=association_id)
        )
    assert spool.waiting_associations() == []


async def test_a_request_that_nobody_heard_is_repeated(
    any_runtime: Runtime, reconciler: Reconciler
) -> None:
    await requested(any_runtime)
    await reconciler.reconcile(patience=60)
    assert await any_runtime.bus.depth(CLASSIFIER_TRANSFERS) == 0
    await age(any_runtime, Transfer, "requested_at")
    await reconciler.reconcile(patience=60)
    assert await any_runtime.bus.depth(CLASSIFIER_TRANSFERS) == 1


async def test_deliveries_that_do_not_move_are_nudged_later_and_later(
    any_runtime: Runtime, reconciler: Reconciler
) -> None:
    transfer = await requested(any_runtime)
    expander = TransferConsumer(any_runtime.settings, any_runtime.ledger)
    await handle(expander, TransferRequested(transfer_id=transfer))
    waits = []
    for nudges in (1, 2, 3):
        await any_runtime.bus.purge()
        await age(any_runtime, Delivery, "due_at")
        await reconciler.reconcile(patience=60)
        assert await any_runtime.bus.depth(ANONYMIZER_ASSIGNED) == 1
        (row, *_) = await rows(any_runtime, Delivery)
        assert row.nudges == nudges
        waits.append(row.due_at - now())
    assert waits[0] < waits[1] < waits[2]


async def test_what_is_held_failed_or_delivered_is_left_alone(
    any_runtime: Runtime, reconciler: Reconciler
) -> None:
    transfer = await requested(any_runtime)
    expander = TransferConsumer(any_runtime.settings, any_runtime.ledger)
    await handle(expander, TransferRequested(transfer_id=transfer))
    ended = (DeliveryState.HELD, DeliveryState.FAILED, DeliveryState.FORWARDED)
    for row, state in zip(await rows(any_runtime, Delivery), ended, strict=True):
        async with any_runtime.ledger.transaction() as connection:
            await connection.execute(
                update(core(Delivery)).where(core(Delivery).c.id == row.id).values(state=state)
            )
    await age(any_runtime, Delivery, "due_at")
    assert not await reconciler.reconcile(patience=0)


async def test_a_round_that_fails_is_not_the_last_one(
    any_runtime: Runtime, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []

    async def fail(patience: float) -> bool:
        rounds.append(patience)
        raise ZeroDivisionError

    monkeypatch.setattr(reconciler, "reconcile", fail)
    running = asyncio.create_task(reconciler.run(starts_empty=True))
    await asyncio.sleep(1)
    running.cancel()
    assert len(rounds) > 1
