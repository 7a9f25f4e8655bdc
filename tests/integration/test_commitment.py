"""Storage commitment: a sender asks which of its images are safe here (PS3.4 annex J)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset
from pydicom import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.receiver import commitment, commitment_data
from services.receiver.announcer import Announcer
from services.receiver.commitment import Commitments
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.scp import StorageScp
from shared.clock import now
from shared.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from shared.dimse.messages import Service
from shared.events import InstanceReceived
from shared.ledger.tables import Commitment, Peer, core
from shared.runtime import Runtime
from tests.helpers import arrive, handle, received_consumer, rows
from tests.servers.common import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"


class Sender:
    """A modality that wants to know."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.heard = threading.Event()

    def ask(
        self, port: int, items: list[tuple[str, str]], *, waiting: float = 0, action: int = 1,
        instance: str = PUSH_MODEL_INSTANCE, said: Dataset | None = None,
    ) -> int | None:  # fmt: skip
        """Ask for commitment, and wait for a report on the same association; the status."""
        entity = AE("MODALITY")
        entity.add_requested_context(PUSH_MODEL, ExplicitVRLittleEndian)
        association = entity.associate(
            "127.0.0.1", port, ae_title="SLUSE",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._report)],
        )  # fmt: skip
        assert association.is_established
        status, _ = association.send_n_action(
            request(items) if said is None else said, action, PUSH_MODEL, instance
        )
        if waiting:
            self.heard.wait(waiting)
        association.release()
        return status.get("Status")

    @contextmanager
    def listening(self, port: int = 0) -> Iterator[int]:
        """Take reports on new associations; the port."""
        entity = AE("MODALITY")
        entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        server = entity.start_server(
            ("127.0.0.1", port), block=False,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._report)],
        )  # fmt: skip
        try:
            yield server.server_address[1]
        finally:
            entity.shutdown()

    def _report(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        self.heard.set()
        return 0x0000, None

    def outcome(self) -> tuple[int, set[str], dict[str, int]]:
        """Event type, what is safe, and what is not, of the only report."""
        ((kind, said),) = self.reports
        safe = {one.ReferencedSOPInstanceUID for one in said.get("ReferencedSOPSequence", [])}
        failed = {
            one.ReferencedSOPInstanceUID: one.FailureReason
            for one in said.get("FailedSOPSequence", [])
        }
        return kind, safe, failed


def request(items: list[tuple[str, str]]) -> Dataset:
    said = Dataset()
    said.TransactionUID = generate_uid()
    said.ReferencedSOPSequence = Items()
    for sop_class, sop_instance in items:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        said.ReferencedSOPSequence.append(item)
    return said


class World:
    """A receiver, and images of which some are in the ledger."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.sender = runtime, Sender()
        self.images = Maker(3, size=16).ct(4).instances
        self.commitments = self.another()
        announcer = Announcer(runtime.bus, runtime.spool, flush_after=0.05)
        self.scp = StorageScp(
            runtime.settings, runtime.spool, announcer, runtime.pressure,
            Door("SLUSE", runtime.settings.peers, runtime.ledger), Refusals(runtime.ledger).add,
            [Service(PUSH_MODEL, self.commitments.handlers)],
        )  # fmt: skip

    def another(self) -> Commitments:
        """As after a restart."""
        runtime = self.runtime
        settings = runtime.settings.model_copy(update={"commitment_patience": 0.5})
        return Commitments(settings, runtime.ledger, runtime.spool, asyncio.get_running_loop())

    async def arrive(self, count: int) -> None:
        keys = arrive(self.runtime, self.images[:count])
        await handle(received_consumer(self.runtime), InstanceReceived(keys=tuple(keys)))

    def items(self, count: int) -> list[tuple[str, str]]:
        return [(CT, str(one.SOPInstanceUID)) for one in self.images[:count]]

    async def ask(self, items: list[tuple[str, str]], **options: Any) -> int | None:
        return await asyncio.to_thread(self.sender.ask, self.scp.port, items, **options)

    async def enter(self, port: int | None) -> None:
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(
                insert(core(Peer)).values(
                    name="modality", calling_aet="MODALITY", addresses="", password_hash="",
                    enabled=True, report_host="", report_port=port, created_at=now(),
                )
            )  # fmt: skip

    async def round(self, commitments: Commitments | None = None) -> None:
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Commitment)).values(due_at=now()))
        await (commitments or self.commitments).round()

    async def states(self) -> list[str]:
        return [one.state for one in await rows(self.runtime, Commitment)]


@pytest.fixture
async def world(any_runtime: Runtime) -> AsyncIterator[World]:
    made = World(any_runtime)
    made.scp.start()
    yield made
    await asyncio.to_thread(made.scp.stop)


async def test_what_is_here_is_committed_on_the_same_association(world: World) -> None:
    await world.arrive(4)
    assert await world.ask(world.items(3), waiting=5) == 0x0000
    assert world.sender.outcome() == (1, {uid for _, uid in world.items(3)}, {})
    for _ in range(50):  # the acknowledgement is on its way
        if await world.states() == ["reported"]:
            break
        await asyncio.sleep(0.1)
    assert await world.states() == ["reported"]
    await world.round()
    assert len(world.sender.reports) == 1


async def test_what_is_not_here_is_said_on_a_new_association(world: World) -> None:
    await world.arrive(2)
    wanted = [*world.items(1), ("1.2.840.10008.5.1.4.1.1.4", world.items(2)[1][1]), (CT, "1.2.3")]
    with world.sender.listening() as port:
        await world.enter(port)
        assert await world.ask(wanted) == 0x0000
        await world.round()
        assert world.sender.reports == [], "it may still come"
        await asyncio.sleep(0.6)
        await world.round()
    assert world.sender.outcome() == (
        2, {world.items(1)[0][1]}, {world.items(2)[1][1]: 0x0119, "1.2.3": 0x0112}
    )  # fmt: skip
    assert await world.states() == ["reported"]


async def test_images_that_come_a_little_later_are_committed(world: World) -> None:
    assert await world.ask(world.items(2)) == 0x0000
    await world.arrive(2)
    with world.sender.listening() as port:
        await world.enter(port)
        await world.round()
    assert world.sender.outcome()[0] == 1


async def test_a_request_survives_a_restart_and_a_sender_that_is_away(world: World) -> None:
    await world.arrive(2)
    port = free_port()
    await world.enter(port)
    assert await world.ask(world.items(2)) == 0x0000
    await world.round()
    (row,) = await rows(world.runtime, Commitment)
    assert (row.state, row.attempts) == ("asked", 1)
    with world.sender.listening(port):
        await world.round(world.another())
    assert world.sender.outcome()[0] == 1
    assert await world.states() == ["reported"]


async def test_who_takes_reports_nowhere_else_hears_on_its_association_what_is_not_here(
    world: World,
) -> None:
    await world.arrive(1)
    assert await world.ask(world.items(2), waiting=5) == 0x0000
    assert world.sender.outcome() == (
        2, {world.items(1)[0][1]}, {world.items(2)[1][1]: 0x0112}
    )  # fmt: skip


async def test_what_waits_in_the_inbox_is_not_said_to_be_lost(world: World) -> None:
    with world.sender.listening() as port:
        await world.enter(port)
        assert await world.ask(world.items(2)) == 0x0000
        keys = arrive(world.runtime, world.images[:2])
        await asyncio.sleep(0.6)
        await world.round()
        assert world.sender.reports == []
        await handle(received_consumer(world.runtime), InstanceReceived(keys=tuple(keys)))
        await world.round()
    assert world.sender.outcome()[0] == 1


async def test_a_request_that_is_made_again_is_one(world: World) -> None:
    await world.arrive(1)
    said = request(world.items(1))
    for _ in range(2):
        assert await world.ask([], said=said, waiting=5) == 0x0000
        world.sender.heard.clear()
    assert len(await rows(world.runtime, Commitment)) == 1


async def test_where_nobody_takes_reports_the_request_ends_at_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment, "_TRIES", 2)
    await world.arrive(1)
    assert await world.ask(world.items(1)) == 0x0000
    await world.enter(None)
    await world.round()
    assert await world.states() == ["asked"]
    await world.round()
    assert await world.states() == ["unreported"]


@pytest.mark.parametrize(
    ("options", "status"),
    [({"action": 2}, 0x0123), ({"instance": "1.2.3"}, 0x0112), ({"said": Dataset()}, 0x0115)],
)
async def test_requests_that_are_none_are_answered(
    world: World, options: dict[str, Any], status: int
) -> None:
    if "said" in options:
        options["said"].PatientName = "nobody"
    assert await world.ask(world.items(1), **options) == status
    assert await rows(world.runtime, Commitment) == []


async def test_hostile_requests_are_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment_data, "_MOST", 2)
    assert await world.ask(world.items(3)) == 0x0115
    assert await world.ask([(CT, UID("1.2.x"))]) == 0x0115
    assert await world.ask([]) == 0x0115
    assert await rows(world.runtime, Commitment) == []
