"""Where a transfer's priority comes from, and into which queue its work then goes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.api.app import create_app
from services.classifier.consumer import TransferConsumer
from services.classifier.reconciler import Reconciler
from services.receiver.acse import Caller
from services.receiver.door import Door
from shared.bus import ANONYMIZER_ASSIGNED, CLASSIFIER_RECEIVED, CLASSIFIER_TRANSFERS
from shared.clock import now
from shared.events import InstanceReceived, TransferRequested
from shared.ledger.tables import Delivery, Peer, Project, RoutingRule, Transfer, core
from shared.priority import Priority
from shared.runtime import Runtime
from shared.settings import PeerPolicy
from tests.helpers import arrive, handle, make_project, received_consumer, rows

NORMAL, BULK = Priority.NORMAL, Priority.BULK


@pytest.fixture
async def client(any_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as found:
        yield found


async def change(runtime: Runtime, model: Any, **values: Any) -> None:
    async with runtime.ledger.transaction() as connection:
        await connection.execute(update(core(model)).values(**values))


async def arrived(runtime: Runtime, seed: int, priority: Priority = NORMAL) -> Any:
    """A study as an association of this priority brings it; its event."""
    keys = arrive(runtime, Maker(seed, size=16).ct(2).instances)
    association_id = runtime.spool.association_of(keys[0])
    sender = runtime.spool.read_association(association_id)
    assert sender is not None
    runtime.spool.write_association(
        association_id, sender.model_copy(update={"priority": priority})
    )
    await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))


@pytest.mark.parametrize(
    ("project", "said", "expected"),
    [("normal", None, NORMAL), ("bulk", None, BULK), ("bulk", "normal", NORMAL),
     ("normal", "bulk", BULK)],
)  # fmt: skip
async def test_a_request_says_it_or_the_project_does(
    any_runtime: Runtime, client: httpx.AsyncClient, project: str, said: str | None,
    expected: Priority,
) -> None:  # fmt: skip
    await make_project(any_runtime)
    await change(any_runtime, Project, priority=project)
    await arrived(any_runtime, 1)
    body = {"study_id": 1, "project": "BICAM", "participant": "B_1"}
    answer = await client.post(
        "/api/v1/transfers", json=body | ({"priority": said} if said else {})
    )
    assert (answer.status_code, answer.json()["priority"]) == (201, expected.value)
    mine, other = (
        CLASSIFIER_TRANSFERS.both if expected is NORMAL else CLASSIFIER_TRANSFERS.both[::-1]
    )
    assert await any_runtime.bus.depth(mine) == 1
    assert await any_runtime.bus.depth(other) == 0
    # What follows from it is as urgent, and so is what the reconciler brings up again.
    requested = TransferConsumer(any_runtime.settings, any_runtime.ledger)
    outcome = await handle(requested, TransferRequested(transfer_id=1, priority=expected))
    assert {one.event().priority for one in outcome.published} == {expected}  # type: ignore[attr-defined]
    await change(any_runtime, Delivery, due_at=now())
    reconciler = Reconciler(
        any_runtime.settings, any_runtime.bus, any_runtime.ledger, any_runtime.spool
    )
    await reconciler.reconcile(0.0)
    depths = [await any_runtime.bus.depth(one) for one in ANONYMIZER_ASSIGNED.both]
    assert depths == ([1, 0] if expected is NORMAL else [0, 1])


@pytest.mark.parametrize(
    ("sender", "rule", "expected"),
    [(NORMAL, None, NORMAL), (BULK, None, BULK), (BULK, "normal", NORMAL), (NORMAL, "bulk", BULK)],
)
async def test_a_rule_says_it_or_the_sender_does(
    any_runtime: Runtime, sender: Priority, rule: str | None, expected: Priority
) -> None:
    project = await make_project(any_runtime)
    await change(any_runtime, Project, participant_pattern="BICAM_{n:3}")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(RoutingRule)).values(
                name="all", enabled=True, priority=1, called_aet="SLUSE", patient_id_pattern=".*",
                project_id=project, event="", site="", trusted=False, transfer_priority=rule,
                created_at=now(),
            )
        )  # fmt: skip
    await arrived(any_runtime, 1, sender)
    (transfer,) = await rows(any_runtime, Transfer)
    assert (transfer.requested_by, transfer.priority) == ("rule", expected.value)


async def test_the_reconciler_announces_forgotten_files_in_their_queue(
    any_runtime: Runtime,
) -> None:
    keys = arrive(any_runtime, Maker(1, size=16).ct(2).instances)
    association_id = any_runtime.spool.association_of(keys[0])
    sender = any_runtime.spool.read_association(association_id)
    assert sender is not None
    any_runtime.spool.write_association(
        association_id, sender.model_copy(update={"priority": BULK})
    )
    reconciler = Reconciler(
        any_runtime.settings, any_runtime.bus, any_runtime.ledger, any_runtime.spool
    )
    await reconciler.reconcile(-60.0)
    assert [await any_runtime.bus.depth(one) for one in CLASSIFIER_RECEIVED.both] == [0, 1]


async def test_a_listed_sender_is_known_for_a_bulk_one(any_runtime: Runtime) -> None:
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(Peer)).values(
                name="archive", calling_aet="ARCHIVE", enabled=True, priority=BULK,
                created_at=now(),
            )
        )  # fmt: skip
    door = Door("SLUSE", PeerPolicy.OPEN, any_runtime.ledger)
    await door.refresh()
    assert door.priority(Caller("ARCHIVE", "SLUSE", "10.0.0.1")) is BULK
    assert door.priority(Caller("CT1", "SLUSE", "10.0.0.1")) is NORMAL
