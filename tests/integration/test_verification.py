"""A transfer is complete when the research PACS has what it said it has taken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRoot
from sqlalchemy import update

from demo.phantoms import Maker
from services.api.app import create_app
from services.forwarder.verification import Verifier
from shared.clock import now
from shared.errors import Reason
from shared.events import Event, InstanceReceived, TransferRequested
from shared.ledger.auditing import Action
from shared.ledger.states import TransferState
from shared.ledger.tables import AuditEvent, Destination, Transfer, core
from shared.runtime import Runtime
from tests.helpers import arrive, rows
from tests.integration.test_api_fixtures import Api
from tests.line import Line
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc

pytest_plugins = ["tests.integration.test_api_fixtures"]

IMAGES = 3


class World:
    """A study that is delivered to Orthanc."""

    def __init__(self, runtime: Runtime, api: Api, line: Line, pacs: Orthanc) -> None:
        self.runtime, self.api, self.line, self.pacs = runtime, api, line, pacs
        self.events: list[Event] = []
        self.verifier = Verifier(runtime.settings, self, runtime.ledger)  # type: ignore[arg-type]

    async def publish(self, events: list[Event], **_: Any) -> None:
        """Stand in for the verifier's bus."""
        self.events += events

    async def set_up(self) -> None:
        destination = {
            "name": "pacs", "ae_title": self.pacs.ae_title, "host": "127.0.0.1",
            "port": self.pacs.dicom_port,
        }  # fmt: skip
        made = await self.api("POST", "/destinations", 201, destination)
        assert made["verification"] == "query"
        await self.api("POST", "/projects", 201, {"code": "AAA", "destination_id": 1})
        await self.arrive(IMAGES)
        body = {"study_id": 1, "project": "AAA", "participant": "A_1"}
        await self.api("POST", "/transfers", 201, body)
        await self.line.run(TransferRequested(transfer_id=1))

    async def arrive(self, images: int) -> None:
        keys = arrive(self.runtime, Maker(7, size=16).ct(images).instances)
        await self.line.run(InstanceReceived(keys=tuple(keys)))

    async def round(self) -> None:
        """Verify, with everything due."""
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(
                update(core(Transfer)).values(verify_at=core(Transfer).c.requested_at)
            )
        await asyncio.sleep(self.runtime.settings.verify_after)
        await self.verifier.round()

    async def read(self) -> Any:
        return await self.api("GET", "/transfers/1", 200)

    async def lose(self, number: int = 1) -> None:
        """The PACS loses images."""
        uid = (await self.read())["released_study_uid"]
        for one in self.pacs.find_instances(StudyInstanceUID=uid)[:number]:
            self.pacs.delete_instance(one["ID"])

    async def go_on(self) -> None:
        """What the verifier has published is done."""
        events, self.events = self.events, []
        await self.line.run(*events)

    async def change_destination(self, **values: Any) -> None:
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Destination)).values(**values))


@pytest.fixture
async def world(any_runtime: Runtime, research_pacs: Orthanc) -> AsyncIterator[World]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        line = Line(any_runtime, await any_runtime.load_master_key())
        made = World(any_runtime, Api(client), line, research_pacs)
        await made.set_up()
        assert (await made.read())["state"] == TransferState.VERIFYING
        yield made
        line.destinations.close()


async def test_what_is_there_is_complete(world: World) -> None:
    patient = world.runtime.settings.model_copy(update={"verify_after": 3600})
    await Verifier(patient, world, world.runtime.ledger).round()  # type: ignore[arg-type]
    assert (await world.read())["state"] == TransferState.VERIFYING, "it is not quiet yet"
    # Two forwarders at once.
    await asyncio.gather(world.round(), world.round())
    found = await world.read()
    assert (found["state"], found["missing"], found["reason"]) == (TransferState.COMPLETE, 0, None)
    assert found["verified_at"] and not world.events


async def test_what_is_lost_is_sent_again_once(world: World) -> None:
    await world.lose()
    await world.round()
    found = await world.read()
    assert (found["state"], found["missing"]) == (TransferState.RUNNING, 1)
    assert found["counts"]["in_flight"] == 1
    await world.go_on()
    assert (await world.read())["state"] == TransferState.VERIFYING
    await world.round()
    found = await world.read()
    assert (found["state"], found["missing"]) == (TransferState.COMPLETE, 0)


async def test_what_is_lost_again_is_a_persons_to_decide(
    world: World, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await world.lose(2)
        await world.round()
        await world.go_on()
    found = await world.read()
    assert (found["state"], found["missing"]) == (TransferState.ATTENTION, 2)
    assert found["reason"] == Reason.MISSING_THERE.in_words
    assert f"2 missing: {Reason.MISSING_THERE.in_words}" in (await client.get("/")).text
    assert found["counts"]["delivered"] == IMAGES
    deliveries = (await world.api("GET", "/transfers/1/deliveries", 200))["items"]
    assert sorted(str(one["reason"]) for one in deliveries) == sorted(
        ["None", *2 * [Reason.MISSING_THERE.in_words]]
    )

    await world.api("POST", "/transfers/1/retry", 200)
    assert (await world.read())["state"] == TransferState.VERIFYING
    await world.round()
    await world.go_on()
    await world.round()
    assert (await world.read())["state"] == TransferState.COMPLETE


async def test_a_person_may_accept_what_is_missing(world: World) -> None:
    await world.api("POST", "/transfers/9/accept", 404)
    for _ in range(2):
        await world.lose(IMAGES)
        await world.round()
        await world.go_on()
    accepted = await world.api("POST", "/transfers/1/accept", 200)
    assert (accepted["state"], accepted["missing"]) == (TransferState.COMPLETE, IMAGES)
    assert accepted["verified_at"] is None
    audited = [(one.action, one.subject) for one in await rows(world.runtime, AuditEvent)]
    assert audited[-1] == (
        Action.TRANSFER_ACCEPTED,
        {"transfer": 1, "before": {"state": "attention"}, "after": {"state": "complete"}},
    )
    await world.api("POST", "/transfers/1/accept", 409)


async def test_a_late_image_is_verified_with_the_others(world: World) -> None:
    await world.arrive(IMAGES + 1)
    found = await world.read()
    assert (found["state"], found["counts"]["delivered"]) == ("verifying", IMAGES + 1)
    await world.round()
    assert (await world.read())["state"] == TransferState.COMPLETE
    await world.arrive(IMAGES + 2)
    found = await world.read()
    assert (found["state"], found["verified_at"]) == (TransferState.VERIFYING, None)


async def test_what_changed_while_it_was_asked_about_is_asked_about_again(world: World) -> None:
    ask = world.verifier._ask

    async def meanwhile(*about: Any) -> Any:
        answer = await ask(*about)
        world.verifier._ask = ask  # type: ignore[method-assign]
        await world.arrive(IMAGES + 1)
        return answer

    world.verifier._ask = meanwhile  # type: ignore[method-assign]
    await world.round()
    assert (await world.read())["state"] == TransferState.VERIFYING
    await world.round()
    assert (await world.read())["state"] == TransferState.COMPLETE


async def test_a_pacs_that_is_away_is_asked_later(world: World) -> None:
    await world.change_destination(port=free_port())
    await world.round()
    found = await world.read()
    assert (found["state"], found["reason"]) == (
        TransferState.VERIFYING, Reason.DESTINATION_AWAY.in_words
    )  # fmt: skip
    (row,) = await rows(world.runtime, Transfer)
    assert row.verify_at > now() and row.verify_attempts == 1
    await world.change_destination(port=world.pacs.dicom_port)
    await world.verifier.round()
    assert (await world.read())["state"] == TransferState.VERIFYING, "not yet"
    await world.api("POST", "/transfers/1/retry", 200)
    await asyncio.sleep(world.runtime.settings.verify_after)
    await world.verifier.round()
    assert (await world.read())["state"] == TransferState.COMPLETE


async def test_a_pacs_that_refuses_to_be_asked_needs_a_person(world: World) -> None:
    entity = AE("DEAF")
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0)]
    )
    try:
        await world.change_destination(port=server.server_address[1], ae_title="DEAF")
        await world.round()
    finally:
        entity.shutdown()
    found = await world.read()
    assert (found["state"], found["reason"]) == (
        TransferState.ATTENTION, Reason.NOT_VERIFIABLE.in_words
    )  # fmt: skip
    assert "not supported there" in found["detail"]
    # Its word is enough from now on.
    await world.change_destination(verification="none")
    await world.api("POST", "/transfers/1/retry", 200)
    await world.round()
    found = await world.read()
    assert (found["state"], found["verified_at"]) == (TransferState.COMPLETE, None)


class Answering:
    """A PACS whose queries end with these statuses, by level."""

    def __init__(self, **statuses: int) -> None:
        self.statuses, self.counted = statuses, 0
        self._entity = AE("PACS")
        self._entity.add_supported_context(StudyRoot)
        server = self._entity.start_server(("127.0.0.1", 0), block=False,
                                           evt_handlers=[(evt.EVT_C_FIND, self._find)])  # fmt: skip
        self.port: int = server.server_address[1]

    def _find(self, event: Any) -> Any:
        asked = event.identifier
        if status := self.statuses.get(asked.QueryRetrieveLevel):
            yield status, None
            return
        answer = Dataset()
        answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
        answer.StudyInstanceUID = asked.StudyInstanceUID
        if asked.QueryRetrieveLevel == "STUDY":
            answer.NumberOfStudyRelatedInstances = str(self.counted)
        else:
            answer.SeriesInstanceUID = "1.2.3"
        yield 0xFF00, answer

    def close(self) -> None:
        self._entity.shutdown()


@pytest.mark.parametrize(
    ("statuses", "counted", "state", "reason"),
    [({"STUDY": 0xA700}, 0, "verifying", Reason.DESTINATION_BUSY),
     ({"STUDY": 0xC001}, 0, "verifying", Reason.DESTINATION_BUSY),
     ({"STUDY": 0xA900}, 0, "attention", Reason.NOT_VERIFIABLE),
     ({"IMAGE": 0xA900}, IMAGES - 1, "running", None),
     ({"IMAGE": 0xA900}, IMAGES + 1, "complete", None),
     ({"IMAGE": 0xA700}, IMAGES - 1, "verifying", Reason.DESTINATION_BUSY)],
)  # fmt: skip
async def test_what_a_pacs_answers_to_queries_counts_for_what_it_is(
    world: World, statuses: dict[str, int], counted: int, state: str, reason: Reason | None
) -> None:
    pacs = Answering(**statuses)
    pacs.counted = counted
    try:
        await world.change_destination(port=pacs.port, ae_title="PACS")
        await world.round()
    finally:
        pacs.close()
    found = await world.read()
    assert found["state"] == state
    if reason is not None:
        assert found["reason"] == reason.in_words
    if state == "running":
        assert found["counts"]["in_flight"] == IMAGES, "nobody knows which are missing"


async def test_a_destination_is_tried_out(world: World) -> None:
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert (found["answers"], found["detail"]) == (True, "It answers.")
    await world.change_destination(ae_title="OTHER")
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert not found["answers"] and "Called AE title not recognised" in found["detail"]
    await world.change_destination(port=free_port())
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert (found["answers"], found["detail"]) == (False, "no connection: Connection refused")
    await world.api("POST", "/destinations/9/echo", 404)
