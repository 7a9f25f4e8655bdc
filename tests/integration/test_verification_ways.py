"""A research PACS is asked over DICOMweb what it holds, or over DIMSE to keep everything."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pydicom import Dataset
from pydicom import Sequence as Items
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRoot

from services.forwarder.verification import Verifier
from services.receiver.announcer import Announcer
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.reports import Reports
from services.receiver.scp import StorageScp
from shared.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from shared.dimse.messages import Service
from shared.dimse.scu import RefusedError
from shared.errors import Reason, Retry
from shared.ledger.states import Protocol, TransferState, Verification
from shared.ledger.tables import Inquiry
from shared.qido import WebArchive, instance_uids, instances_held
from shared.settings import Settings
from tests.helpers import rows
from tests.integration.test_verification import IMAGES, World, world
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc
from tests.servers.webpacs import Asked, Reply, web_pacs

__all__ = ["world"]

STUDY = "1.2.3"


# DICOMweb


async def over_dicomweb(world: World) -> None:
    await world.change_destination(
        protocol=Protocol.DICOMWEB, url=world.pacs.dicomweb, ae_title=None, host=None, port=None
    )


async def test_a_transfer_goes_over_dicomweb_and_is_verified_there(world: World) -> None:
    await over_dicomweb(world)
    await world.lose(IMAGES)
    await world.round()
    assert (await world.read())["state"] == TransferState.RUNNING
    await world.go_on()
    await world.round()
    found = await world.read()
    assert (found["state"], found["missing"]) == (TransferState.COMPLETE, 0)
    held = world.pacs.find_instances(StudyInstanceUID=found["released_study_uid"])
    assert len(held) == IMAGES
    compared = await world.api("GET", "/projects/AAA/comparison", 200)
    assert (compared["compared"], compared["items"]) == (1, [])


async def test_what_is_lost_again_is_named(world: World) -> None:
    await over_dicomweb(world)
    for _ in range(2):
        await world.lose(2)
        await world.round()
        await world.go_on()
    found = await world.read()
    assert (found["state"], found["missing"]) == (TransferState.ATTENTION, 2)


async def test_a_service_is_tried_out(world: World) -> None:
    await over_dicomweb(world)
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert (found["answers"], found["detail"]) == (True, "It answers.")
    await world.change_destination(url=f"{world.pacs.dicomweb}/elsewhere")
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert (found["answers"], found["detail"]) == (False, "It answers with HTTP 404.")
    await world.change_destination(url=f"http://127.0.0.1:{free_port()}")
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert (found["answers"], found["detail"]) == (False, "no answer: ConnectError")
    await world.change_destination(credentials="none")
    found = await world.api("POST", "/destinations/1/echo", 200)
    assert "SLUSE_PACS_CREDENTIALS" in found["detail"]


class Shelf:
    """A QIDO-RS service."""

    def __init__(self, instances: int, *, counts: bool = True, page: int = 1000) -> None:
        self.instances, self.counts, self.page = instances, counts, page

    def __call__(self, asked: Asked) -> Reply:
        path, _, query = asked.path.partition("?")
        wanted = dict(one.split("=") for one in query.split("&"))
        if path.endswith("/instances"):
            start = int(wanted["offset"])
            stop = min(start + min(self.page, int(wanted["limit"])), self.instances)
            found: list[Any] = [{"00080018": _element("UI", f"1.{n}")} for n in range(start, stop)]
        else:
            found = [{"0020000D": _element("UI", STUDY)}] if self.instances else []
            for one in found if self.counts else ():
                one["00201208"] = _element("IS", self.instances)
        return (200, json.dumps(found).encode()) if found else (204, b"")


def _element(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


@pytest.mark.parametrize(
    "shelf", [Shelf(2500), Shelf(2500, counts=False), Shelf(250, counts=False, page=100), Shelf(0)]
)
def test_pages_are_turned_to_the_end(settings: Settings, shelf: Shelf) -> None:
    with web_pacs(shelf) as pacs:
        expected = {STUDY: shelf.instances} if shelf.instances else {}
        assert instances_held(settings, WebArchive(pacs.url), [STUDY]) == expected
        assert len(instance_uids(settings, WebArchive(pacs.url), STUDY)) == shelf.instances


def test_a_service_that_knows_no_pages_comes_to_an_end(settings: Settings) -> None:
    shelf = Shelf(3, counts=False)
    with web_pacs(lambda asked: shelf(asked._replace(path="/instances?limit=9&offset=0"))) as pacs:
        assert len(instance_uids(settings, WebArchive(pacs.url), STUDY)) == 3
    assert len(pacs.asked) == 2


@pytest.mark.parametrize("content", [b"{}", b"[7]", b"<html>", b"[" * 100_000])
def test_an_answer_that_is_none_is_a_refusal(settings: Settings, content: bytes) -> None:
    with web_pacs(lambda _: (200, content)) as pacs, pytest.raises(RefusedError):
        instances_held(settings, WebArchive(pacs.url), [STUDY])


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RefusedError), (404, RefusedError), (501, RefusedError), (302, RefusedError),
     (401, Retry), (429, Retry), (500, Retry), (503, Retry)],
)  # fmt: skip
def test_a_status_counts_for_what_it_is(
    settings: Settings, status: int, error: type[Exception]
) -> None:
    with web_pacs(lambda _: (status, b"")) as pacs, pytest.raises(error, match=str(status)):
        instances_held(settings, WebArchive(pacs.url), [STUDY])


def test_nobody_there_is_asked_again(settings: Settings) -> None:
    with pytest.raises(Retry, match="ConnectError"):
        instances_held(settings, WebArchive(f"http://127.0.0.1:{free_port()}"), [STUDY])


# Storage commitment


class Keeper:
    """A PACS with storage commitment: reports at once, over a new association, or never."""

    def __init__(self, world: World, how: str) -> None:
        self.world, self.how = world, how
        self.lost: set[str] = set()
        self.asked: list[Dataset] = []
        self.status, self.reason = 0x0000, 0x0112
        self.answers: list[int] = []
        self._entity = AE("KEEPER")
        if how != "unknown":
            self._entity.add_supported_context(PUSH_MODEL)
        self._entity.add_supported_context(StudyRoot)
        self._server = self._entity.start_server(
            ("127.0.0.1", 0), block=False,
            evt_handlers=[(evt.EVT_N_ACTION, self._action), (evt.EVT_C_FIND, self._find)],
        )  # fmt: skip
        self.port: int = self._server.server_address[1]

    def _action(self, event: Any) -> tuple[int, None]:
        self.asked.append(event.action_information)
        if self.how == "at once" and not self.status:
            # After the response: the same association is used by one message at a time.
            asyncio.run_coroutine_threadsafe(self._soon(event.assoc), self._loop)
        return self.status, None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self.world.loop  # type: ignore[attr-defined,no-any-return]

    async def _soon(self, association: Any) -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(
            association.send_n_event_report, self.report(), 1, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        answer = Dataset()
        answer.QueryRetrieveLevel = "STUDY"
        answer.StudyInstanceUID = asked.StudyInstanceUID
        answer.NumberOfStudyRelatedInstances = str(IMAGES)
        yield 0xFF00, answer

    def report(self) -> Dataset:
        (asked,) = self.asked[-1:]
        said = Dataset()
        said.TransactionUID = asked.TransactionUID
        kept, lost = Items(), Items()
        for one in asked.ReferencedSOPSequence:
            item = Dataset()
            item.ReferencedSOPClassUID = one.ReferencedSOPClassUID
            item.ReferencedSOPInstanceUID = one.ReferencedSOPInstanceUID
            if one.ReferencedSOPInstanceUID in self.lost:
                item.FailureReason = self.reason
                lost.append(item)
            else:
                kept.append(item)
        if kept:
            said.ReferencedSOPSequence = kept
        if lost:
            said.FailedSOPSequence = lost
        return said

    def call(self, port: int, said: Dataset, instance: str = PUSH_MODEL_INSTANCE) -> int | None:
        """Report over a new association; the status."""
        entity = AE("KEEPER")
        entity.add_requested_context(PUSH_MODEL)
        association = entity.associate(
            "127.0.0.1", port, ae_title="SLUSE",
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
        )  # fmt: skip
        assert association.is_established
        status, _ = association.send_n_event_report(said, 1, PUSH_MODEL, instance)
        association.release()
        return status.get("Status")

    def close(self) -> None:
        self._entity.shutdown()


@contextmanager
def _closing(keeper: Keeper) -> Iterator[Keeper]:
    try:
        yield keeper
    finally:
        keeper.close()


@asynccontextmanager
async def keeping(world: World, how: str) -> AsyncIterator[Keeper]:
    world.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
    with _closing(Keeper(world, how)) as keeper:
        await world.change_destination(
            port=keeper.port, ae_title="KEEPER", verification=Verification.COMMITMENT
        )
        yield keeper


@asynccontextmanager
async def receiving(world: World) -> AsyncIterator[int]:
    """A receiver; its port."""
    runtime = world.runtime
    reports = Reports(runtime.ledger, asyncio.get_running_loop(), 10)
    scp = StorageScp(
        runtime.settings, runtime.spool, Announcer(runtime.bus, runtime.spool, flush_after=0.05),
        runtime.pressure,
        Door("SLUSE", runtime.settings.peers, runtime.ledger), Refusals(runtime.ledger).add,
        [Service(PUSH_MODEL, reports.handlers)],
    )  # fmt: skip
    scp.start()
    try:
        yield scp.port
    finally:
        await asyncio.to_thread(scp.stop)


async def uids(world: World) -> set[str]:
    study = (await world.read())["released_study_uid"]
    found = world.pacs.find_instances(StudyInstanceUID=study)
    return {one["MainDicomTags"]["SOPInstanceUID"] for one in found}


async def test_what_is_kept_is_complete(world: World) -> None:
    async with keeping(world, "at once") as keeper:
        await world.round()
        found = await world.read()
        assert (found["state"], found["reason"]) == (TransferState.COMPLETE, None)
        assert found["verified_at"]
        (asked,) = keeper.asked
        assert {one.ReferencedSOPInstanceUID for one in asked.ReferencedSOPSequence} == (
            await uids(world)
        )
        assert {one.ReferencedSOPClassUID for one in asked.ReferencedSOPSequence} == {
            CTImageStorage
        }
    assert await rows(world.runtime, Inquiry) == []


async def test_what_is_not_kept_is_sent_again_and_asked_about_again(world: World) -> None:
    async with keeping(world, "at once") as keeper:
        lost = sorted(await uids(world))[0]
        keeper.lost = {lost}
        await world.round()
        found = await world.read()
        assert (found["state"], found["missing"]) == (TransferState.RUNNING, 1)
        await world.change_destination(port=world.pacs.dicom_port, ae_title=world.pacs.ae_title)
        await world.go_on()
        await world.change_destination(port=keeper.port, ae_title="KEEPER")
        await world.round()
        assert (await world.read())["state"] == TransferState.ATTENTION
        assert len(keeper.asked) == 2
        keeper.lost = set()
        await world.api("POST", "/transfers/1/retry", 200)
        await world.round()
        assert (await world.read())["state"] == TransferState.COMPLETE


async def test_a_report_may_come_later_over_another_association(world: World) -> None:
    async with keeping(world, "later") as keeper, receiving(world) as port:
        await world.round()
        found = await world.read()
        assert (found["state"], found["reason"]) == (
            TransferState.VERIFYING, Reason.COMMITMENT_PENDING.in_words
        )  # fmt: skip
        await world.round()
        assert len(keeper.asked) == 1, "it was asked already"
        report = keeper.report()
        stray = keeper.report()
        stray.TransactionUID = "2.25.1"
        assert await asyncio.to_thread(keeper.call, port, stray) == 0x0115
        assert await asyncio.to_thread(keeper.call, port, report, "1.2.3") == 0x0112
        assert await asyncio.to_thread(keeper.call, port, Dataset()) != 0x0000
        assert (await world.read())["state"] == TransferState.VERIFYING
        assert await asyncio.to_thread(keeper.call, port, report) == 0x0000
        await world.verifier.round()  # it is due by itself
    assert (await world.read())["state"] == TransferState.COMPLETE


@pytest.mark.parametrize("how", ["unknown", "refused", "silent"])
async def test_where_nobody_answers_it_is_queried(world: World, how: str) -> None:
    if how == "silent":
        hasty = world.runtime.settings.model_copy(update={"commitment_wait": 0.0})
        world.verifier = Verifier(hasty, world, world.runtime.ledger)  # type: ignore[arg-type]
    async with keeping(world, how) as keeper:
        keeper.status = 0x0122 if how == "refused" else 0
        await world.round()
        found = await world.read()
        assert (found["state"], found["missing"]) == (TransferState.COMPLETE, 0)


async def test_an_answer_about_what_was_there_before_does_not_count(world: World) -> None:
    async with keeping(world, "later") as keeper, receiving(world) as port:
        await world.round()
        report = keeper.report()
        await world.change_destination(port=world.pacs.dicom_port, ae_title=world.pacs.ae_title)
        await world.arrive(IMAGES + 1)
        assert await asyncio.to_thread(keeper.call, port, report) == 0x0000
        await world.change_destination(port=keeper.port, ae_title="KEEPER")
        await world.round()
        assert (await world.read())["state"] == TransferState.VERIFYING
        assert len(keeper.asked) == 2
        assert await asyncio.to_thread(keeper.call, port, keeper.report()) == 0x0000
        await world.round()
    assert (await world.read())["state"] == TransferState.COMPLETE


async def test_orthanc_keeps_what_it_has(world: World, research_pacs: Orthanc) -> None:
    async with receiving(world) as port:
        research_pacs.send("PUT", "modalities/sluse", ["SLUSE", "127.0.0.1", port])
        await world.change_destination(verification=Verification.COMMITMENT)
        await world.lose()
        await world.round()
        for _ in range(100):
            inquiries = await rows(world.runtime, Inquiry)
            if all(one.safe is not None for one in inquiries):
                break
            await asyncio.sleep(0.1)
        await world.verifier.round()
        found = await world.read()
        assert (found["state"], found["missing"]) == (TransferState.RUNNING, 1)
    assert await rows(world.runtime, Inquiry) == []


async def test_what_can_not_be_kept_and_is_there_is_looked_for(world: World) -> None:
    """A PACS does not commit itself to every SOP class; that is no loss (failure reason 0122)."""
    async with keeping(world, "at once") as keeper:
        keeper.lost, keeper.reason = {sorted(await uids(world))[0]}, 0x0122
        await world.round()
        found = await world.read()
        assert (found["state"], found["missing"]) == (TransferState.COMPLETE, 0)


async def test_who_is_busy_is_asked_again_before_it_is_queried(world: World) -> None:
    async with keeping(world, "at once") as keeper:
        keeper.status = 0x0213
        await world.round()
        found = await world.read()
        assert (found["state"], found["reason"]) == (
            TransferState.VERIFYING, Reason.DESTINATION_BUSY.in_words
        )  # fmt: skip
        keeper.status = 0
        await world.round()
        assert (await world.read())["state"] == TransferState.COMPLETE
        assert len(keeper.asked) == 2


async def test_a_late_report_of_a_loss_opens_the_transfer_again(world: World) -> None:
    hasty = world.runtime.settings.model_copy(update={"commitment_wait": 0.0})
    world.verifier = Verifier(hasty, world, world.runtime.ledger)  # type: ignore[arg-type]
    async with keeping(world, "later") as keeper, receiving(world) as port:
        await world.round()
        assert (await world.read())["state"] == TransferState.COMPLETE
        keeper.lost = {sorted(await uids(world))[0]}
        assert await asyncio.to_thread(keeper.call, port, keeper.report()) == 0x0000
        assert (await world.read())["state"] == TransferState.VERIFYING


async def test_two_destinations_do_not_wait_for_each_other(world: World) -> None:
    """While one is being asked, what is due at others is looked at."""
    world.verifier._busy.add(1)
    await world.round()
    assert (await world.read())["state"] == TransferState.VERIFYING
    world.verifier._busy.clear()
    await world.round()
    assert (await world.read())["state"] == TransferState.COMPLETE
