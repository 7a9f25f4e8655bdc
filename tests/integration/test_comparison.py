"""What the research PACS holds, compared with what was sent; and sent again."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRoot
from pynetdicom.sop_class import Verification
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.anonymizer.consumer import AssignedConsumer
from services.anonymizer.pool import Pool
from services.api.app import create_app
from services.classifier.consumer import TransferConsumer
from services.forwarder.consumer import AnonymizedConsumer
from services.forwarder.destinations import Destinations
from shared.bus import ANONYMIZER_ASSIGNED
from shared.clock import now
from shared.dimse.find import instances_held
from shared.dimse.scu import Archive, RefusedError
from shared.errors import Reason, Retry
from shared.events import InstanceAssigned, InstanceReceived, TransferRequested
from shared.ledger.states import TransferState
from shared.ledger.tables import Delivery, Destination, Release, Transfer, core
from shared.runtime import Runtime
from shared.settings import Settings
from tests.helpers import (
    arrive,
    handle,
    make_destination,
    make_project,
    received_consumer,
    request_transfer,
    rows,
    transfer_state,
)
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc

COMPARISON = "/projects/BICAM/comparison"


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __call__(self, method: str, path: str, status: int = 200, body: Any = None) -> Any:
        answer = await self.client.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def api(any_runtime: Runtime) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Api(client)


class Pipeline:
    """Takes what is assigned to the research PACS, step by step."""

    def __init__(self, anonymizer: AssignedConsumer, forwarder: AnonymizedConsumer) -> None:
        self._anonymizer, self._forwarder = anonymizer, forwarder

    async def deliver(self, runtime: Runtime) -> None:
        for one in await rows(runtime, Delivery, state="assigned"):
            event = InstanceAssigned(
                transfer_id=one.transfer_id, series_id=one.series_id, delivery_ids=(one.id,)
            )
            for envelope in (await handle(self._anonymizer, event)).published:
                await handle(self._forwarder, envelope.event())


@pytest.fixture
async def pipeline(any_runtime: Runtime) -> AsyncIterator[Pipeline]:
    settings, ledger = any_runtime.settings, any_runtime.ledger
    key = settings.load_master_key(new=True)
    pool, destinations = Pool(settings.model_copy(update={"workers": 1})), Destinations(settings)
    yield Pipeline(
        AssignedConsumer(settings, ledger, key, pool),
        AnonymizedConsumer(settings, ledger, any_runtime.spool, destinations),
    )
    pool.close()
    destinations.close()


async def assigned(runtime: Runtime, project: int, seed: int, slices: int) -> int:
    """A study that is assigned to a project; the transfer."""
    keys = arrive(runtime, Maker(seed, size=16).ct(slices).instances)
    await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))
    async with runtime.ledger.transaction() as connection:
        found = await request_transfer(connection, study_id=seed, project_id=project)
    assert found is not None
    requested = TransferConsumer(runtime.settings, runtime.ledger)
    await handle(requested, TransferRequested(transfer_id=found))
    return found


async def test_what_a_real_archive_lost_is_listed_and_sent_again(
    any_runtime: Runtime, api: Api, pipeline: Pipeline, research_pacs: Orthanc
) -> None:
    destination = await make_destination(any_runtime, research_pacs.dicom_port, "ORTHANC")
    project = await make_project(any_runtime, destination_id=destination)
    for seed, slices in ((1, 3), (2, 2), (3, 2)):
        await assigned(any_runtime, project, seed, slices)
    await pipeline.deliver(any_runtime)
    assert await api("GET", COMPARISON) == {"items": [], "next": None, "compared": 3}

    studies = {
        t["study_id"]: t["released_study_uid"] for t in (await api("GET", "/transfers"))["items"]
    }
    images = {
        number: research_pacs.find_instances(StudyInstanceUID=uid)
        for number, uid in studies.items()
    }
    for lost in (images[1][0], *images[2]):
        research_pacs.delete_instance(lost["ID"])
    first, second = (await api("GET", COMPARISON))["items"]
    assert first == {
        "study_id": 1, "released_study_uid": studies[1], "kind": "too-few", "delivered": 3,
        "in_flight": 0, "held": 2,
    }  # fmt: skip
    assert (second["study_id"], second["kind"], second["held"]) == (2, "missing", 0)
    page = await api("GET", f"{COMPARISON}?limit=1&after=1")
    assert (page["items"], page["compared"], page["next"]) == ([second], 1, 2)

    again = await api("POST", f"{COMPARISON}/resend", 200, {"study_ids": [2, 1]})
    assert again == {"transfers": [1, 2], "instances": 5}
    # By itself it is bulk work: an archive that lost everything holds up nobody's study of today.
    assert await any_runtime.bus.depth(ANONYMIZER_ASSIGNED) == 0
    assert await any_runtime.bus.depth(ANONYMIZER_ASSIGNED.both[1]) == 2
    # What is on its way is not missing yet, and what is there already not too much.
    assert (await api("GET", COMPARISON))["items"] == []
    await pipeline.deliver(any_runtime)
    assert await api("GET", COMPARISON) == {"items": [], "next": None, "compared": 3}
    for number in (1, 2, 3):
        assert await transfer_state(any_runtime, number) == TransferState.COMPLETE
        there = research_pacs.find_instances(StudyInstanceUID=studies[number])
        assert {one["MainDicomTags"]["SOPInstanceUID"] for one in there} == {
            one["MainDicomTags"]["SOPInstanceUID"] for one in images[number]
        }


async def test_an_image_that_should_not_be_there_is_too_many(
    any_runtime: Runtime, api: Api, pipeline: Pipeline, research_pacs: Orthanc
) -> None:
    destination = await make_destination(any_runtime, research_pacs.dicom_port, "ORTHANC")
    project = await make_project(any_runtime, destination_id=destination)
    await assigned(any_runtime, project, 1, 2)
    await pipeline.deliver(any_runtime)
    async with any_runtime.ledger.transaction() as connection:
        table = core(Delivery)
        await connection.execute(update(table).where(table.c.id == 1).values(state="held"))
    (found,) = (await api("GET", COMPARISON))["items"]
    assert (found["kind"], found["delivered"], found["held"]) == ("too-many", 1, 2)


async def test_only_what_was_delivered_is_sent_again(any_runtime: Runtime, api: Api) -> None:
    project = await make_project(any_runtime)
    transfer = await assigned(any_runtime, project, 1, 4)
    async with any_runtime.ledger.transaction() as connection:
        for number, state in enumerate(("forwarded", "held", "failed"), start=1):
            table = core(Delivery)
            await connection.execute(update(table).where(table.c.id == number).values(state=state))
        await connection.execute(
            update(core(Transfer)).values(delivered=1, held=1, failed=1, in_flight=1)
        )
    again = await api("POST", f"{COMPARISON}/resend", 200, {"study_ids": [1]})
    assert again == {"transfers": [transfer], "instances": 1}
    states = [one.state for one in await rows(any_runtime, Delivery)]
    assert states == ["assigned", "held", "failed", "assigned"]
    counts = (await api("GET", f"/transfers/{transfer}"))["counts"]
    assert (counts["delivered"], counts["in_flight"]) == (0, 2)


async def test_studies_that_a_project_does_not_have_are_not_sent(
    any_runtime: Runtime, api: Api
) -> None:
    project, other = await make_project(any_runtime), await make_project(any_runtime, "OTHER")
    await assigned(any_runtime, project, 1, 1)
    await assigned(any_runtime, other, 2, 1)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Delivery)).values(state="forwarded"))
    problem = await api("POST", f"{COMPARISON}/resend", 422, {"study_ids": [1, 2, 99]})
    assert [error["field"] for error in problem["errors"]] == ["study_ids.1", "study_ids.2"]
    assert {one.state for one in await rows(any_runtime, Delivery)} == {"forwarded"}
    await api("POST", f"{COMPARISON}/resend", 422, {"study_ids": []})
    await api("POST", "/projects/NOSUCH/comparison/resend", 404, {"study_ids": [1]})


class FakeArchive:
    """A query SCP with habits: `studies` is what it has, series by series."""

    def __init__(self, **habits: Any) -> None:
        self.studies: dict[str, list[int]] = {"1.1": [2, 3], "1.2": [4]}
        self.counts: set[str] = {"STUDY", "SERIES"}
        self.takes_lists = self.says_so = True
        self.hangs = False
        self.pause = 0.0
        self.status = 0x0000
        self.ending = threading.Event()
        self.asked: list[str] = []
        vars(self).update(habits)

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        query: Dataset = event.identifier
        level, wanted = query.QueryRetrieveLevel, query.StudyInstanceUID
        self.asked.append(level)
        if self.status:
            yield self.status, None
            return
        if isinstance(wanted, str):
            wanted = [wanted]
        elif not self.takes_lists:
            if self.says_so:
                yield 0xA900, None
            return
        if self.hangs:
            self.ending.wait()
        for uid in wanted:
            for match in self._matches(level, uid, query) if uid in self.studies else ():
                time.sleep(self.pause)
                match.QueryRetrieveLevel, match.StudyInstanceUID = level, uid
                yield 0xFF00, match

    def _matches(self, level: str, uid: str, query: Dataset) -> Iterator[Dataset]:
        series = self.studies[uid]
        match = Dataset()
        if level == "STUDY":
            match.NumberOfStudyRelatedInstances = str(sum(series)) if level in self.counts else ""
            yield match
        elif level == "SERIES":
            for number, images in enumerate(series):
                match = Dataset()
                match.SeriesInstanceUID = f"{uid}.{number}"
                if level in self.counts:
                    match.NumberOfSeriesRelatedInstances = str(images)
                yield match
        else:
            number = int(query.SeriesInstanceUID.rpartition(".")[2])
            for image in range(series[number]):
                match = Dataset()
                match.SOPInstanceUID = f"{query.SeriesInstanceUID}.{image}"
                yield match

    @contextmanager
    def listening(self) -> Iterator[Archive]:
        entity = AE("PACS")
        entity.add_supported_context(StudyRoot)
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self.find)]
        )
        try:
            yield Archive("PACS", "127.0.0.1", server.server_address[1])
        finally:
            self.ending.set()
            entity.shutdown()


UIDS = ["1.1", "1.2", "1.3"]


@pytest.mark.parametrize(
    ("habits", "levels"),
    [({}, {"STUDY"}), ({"counts": {"SERIES"}}, {"STUDY", "SERIES"}),
     ({"counts": set()}, {"STUDY", "SERIES", "IMAGE"}), ({"takes_lists": False}, {"STUDY"}),
     ({"takes_lists": False, "says_so": False}, {"STUDY"})],
    ids=["counts", "counts-series", "counts-nothing", "refuses-lists", "ignores-lists"],
)  # fmt: skip
def test_archives_of_all_habits_are_asked_until_they_say(
    settings: Settings, habits: dict[str, Any], levels: set[str]
) -> None:
    archive = FakeArchive(**habits)
    with archive.listening() as where:
        assert instances_held(settings, where, UIDS) == {"1.1": 5, "1.2": 4}
    assert set(archive.asked) == levels


def test_many_studies_are_asked_for_in_a_few_queries(settings: Settings) -> None:
    uids = [f"1.2.3.{number}" for number in range(120)]
    archive = FakeArchive(studies={uid: [1] for uid in uids})
    with archive.listening() as where:
        assert instances_held(settings, where, uids) == dict.fromkeys(uids, 1)
    assert len(archive.asked) == 3


@pytest.mark.parametrize(
    ("status", "raised"),
    [(0xA700, Retry), (0xC001, Retry), (0xA900, RefusedError), (0xB001, RefusedError),
     (0x0124, RefusedError)],
)  # fmt: skip
def test_an_archive_that_refuses_is_no_empty_one(
    settings: Settings, status: int, raised: type[Exception]
) -> None:
    with FakeArchive(status=status).listening() as where, pytest.raises(raised) as found:
        instances_held(settings, where, UIDS)
    assert f"{status:04X}" in str(found.value)


def test_an_archive_that_takes_no_queries_says_so(settings: Settings) -> None:
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(RefusedError, match="not supported"):
            instances_held(settings, Archive("PACS", *server.server_address), UIDS)
    finally:
        entity.shutdown()


def test_an_archive_that_falls_silent_is_given_up(settings: Settings) -> None:
    impatient = settings.model_copy(update={"network_timeout": 0.5})
    with FakeArchive(hangs=True).listening() as where, pytest.raises(Retry) as found:
        instances_held(impatient, where, UIDS)
    assert found.value.reason == Reason.DESTINATION_AWAY


def test_an_archive_that_takes_for_ever_is_given_up_in_time(settings: Settings) -> None:
    impatient = settings.model_copy(update={"network_timeout": 0.5})
    uids = [f"1.2.3.{number}" for number in range(40)]
    slow = FakeArchive(studies={uid: [1] for uid in uids}, pause=0.1)
    began = time.monotonic()
    with slow.listening() as where, pytest.raises(Retry):
        instances_held(impatient, where, uids)
    assert time.monotonic() - began < 3


async def test_what_hinders_a_comparison_is_said_plainly(any_runtime: Runtime, api: Api) -> None:
    await api("GET", "/projects/NOSUCH/comparison", 404)
    await make_project(any_runtime, "LOST")
    problem = await api("GET", "/projects/LOST/comparison", 422)
    assert problem["errors"][0]["message"] == "The project has no destination."
    destination = await make_destination(any_runtime, free_port())
    project = await make_project(any_runtime, destination_id=destination)
    # Nothing was sent, so nobody need be asked.
    assert (await api("GET", COMPARISON))["compared"] == 0
    await assigned(any_runtime, project, 1, 1)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(Release)).values(
                project_id=project, study_id=1, released_study_uid="1.1", released_at=now()
            )
        )
    problem = await api("GET", COMPARISON, 503)
    assert problem["title"] == Reason.DESTINATION_AWAY.in_words
    with FakeArchive(status=0xA900).listening() as where:
        async with any_runtime.ledger.transaction() as connection:
            await connection.execute(
                update(core(Destination)).values(ae_title=where.ae_title, port=where.port)
            )
        problem = await api("GET", COMPARISON, 502)
        assert "A900" in problem["title"]
