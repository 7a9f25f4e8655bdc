"""What was taken back is deleted where it went, before the right copies go there."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import update

from demo.phantoms import Maker
from services.api.app import create_app
from services.forwarder import recalls as worker
from services.forwarder.recalls import Recalls
from shared.clock import now
from shared.events import InstanceAssigned, InstanceReceived, TransferRequested
from shared.ledger.deliveries import in_batches
from shared.ledger.states import RecallState, TransferState
from shared.ledger.tables import Delivery, Recall, Release, Transfer, core
from shared.runtime import Runtime
from tests.helpers import arrive, rows, transfer_state
from tests.integration.test_api_fixtures import Api
from tests.line import Line
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc

pytest_plugins = ["tests.integration.test_api_fixtures"]

IMAGES = 3


class Web:
    """A DICOMweb service of which only deletions and searches are known."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.later = False
        """Whether it accepts deletions and does them later."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_DELETE(self) -> None:
                place = urlsplit(self.path).path.removeprefix("/dicom-web/studies/")
                known = place in web.holds
                if known and not web.later:
                    web.holds.remove(place)
                self._answer((202 if web.later else 204) if known else 404)

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                wanted = parse_qs(parts.query).get("StudyInstanceUID", [""])[0]
                if parts.path != "/dicom-web/studies":
                    self._answer(404)
                elif wanted in web.holds:
                    self._answer(200, json.dumps([{"0020000D": {"Value": [wanted]}}]))
                else:
                    self._answer(204)

            def _answer(self, status: int, body: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/dicom-web"


@pytest.fixture
def web() -> Iterator[Web]:
    running = Web()
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()


class World:
    """A study that is in project WRONG as P_1, delivered to Orthanc."""

    def __init__(self, runtime: Runtime, api: Api, line: Line, pacs: Orthanc) -> None:
        self.runtime, self.api, self.line, self.pacs = runtime, api, line, pacs
        self.recalls = Recalls(runtime.settings, runtime.bus, runtime.ledger)
        self.images = Maker(7, size=16).ct(IMAGES).instances
        self.transfer = 0
        self.uid = ""

    async def set_up(self) -> None:
        await self.api("POST", "/destinations", 201, self.destination())
        for code in ("WRONG", "RIGHT"):
            await self.api("POST", "/projects", 201, {"code": code, "destination_id": 1})
        keys = arrive(self.runtime, self.images)
        await self.line.run(InstanceReceived(keys=tuple(keys)))
        body = {"study_id": 1, "project": "WRONG", "participant": "P_1"}
        self.transfer = (await self.api("POST", "/transfers", 201, body))["id"]
        await self.line.run(TransferRequested(transfer_id=self.transfer))
        read = await self.api("GET", f"/transfers/{self.transfer}", 200)
        self.uid = read["released_study_uid"]
        await self.runtime.bus.purge()

    def destination(self, **fields: Any) -> dict[str, Any]:
        return {
            "name": "pacs", "ae_title": self.pacs.ae_title, "host": "127.0.0.1",
            "port": self.pacs.dicom_port, "deletion": "orthanc",
            "deletion_url": f"http://127.0.0.1:{self.pacs.http_port}/",
        } | fields  # fmt: skip

    async def change_destination(self, **fields: Any) -> None:
        await self.api("PUT", "/destinations/1", 200, self.destination(**fields))

    async def correct(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        """The right transfer's id, and the recall."""
        path = f"/transfers/{self.transfer}/correct"
        made = await self.api("POST", path, 201, fields)
        return made["transfer"]["id"], made["recall"]

    async def try_now(self) -> None:
        """One round of deletions, with everything due."""
        async with self.runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Recall)).values(due_at=now()))
        await self.recalls.round()

    async def recall(self) -> Any:
        (found,) = await rows(self.runtime, Recall)
        return found

    def there(self) -> list[str]:
        """The patient ids of the study's copies in Orthanc."""
        found = self.pacs.find_instances(StudyInstanceUID=self.uid)
        return sorted(self.pacs.get(f"instances/{one['ID']}/patient")["MainDicomTags"]["PatientID"]
                      for one in found)  # fmt: skip


@pytest.fixture
async def world(any_runtime: Runtime, research_pacs: Orthanc) -> AsyncIterator[World]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        line = Line(any_runtime, await any_runtime.load_master_key())
        made = World(any_runtime, Api(client), line, research_pacs)
        await made.set_up()
        assert made.there() == ["P_1"] * IMAGES
        yield made
        line.destinations.close()


async def test_the_right_copies_wait_until_the_wrong_ones_are_gone(world: World) -> None:
    right, recall = await world.correct(participant="P_2")
    assert (recall["state"], recall["instances"]) == (RecallState.ASKED, IMAGES)
    assert recall["released_study_uid"] == world.uid
    listed = await world.api("GET", f"/recalls/{recall['id']}/instances?limit=2", 200)
    rest = await world.api("GET", f"/recalls/{recall['id']}/instances?after={listed['next']}", 200)
    uids = [one["released_sop_uid"] for one in listed["items"] + rest["items"]]
    found = world.pacs.find_instances(StudyInstanceUID=world.uid)
    assert sorted(uids) == sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)

    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.REQUESTED
    assert (await world.api("GET", f"/transfers/{right}", 200))["waits_for_deletion"]
    assert world.there() == ["P_1"] * IMAGES

    events: list[Any] = []

    async def publish(some: Any, **_: Any) -> None:
        events.extend(some)

    world.recalls._bus = type("Bus", (), {"publish": staticmethod(publish)})()
    await world.try_now()
    assert world.there() == []
    assert events == [TransferRequested(transfer_id=right)]
    await world.line.run(*events)
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    assert world.there() == ["P_2"] * IMAGES
    read = await world.api("GET", f"/recalls/{recall['id']}", 200)
    assert read["state"] == RecallState.DONE and read["done_at"]
    assert not (await world.api("GET", f"/transfers/{right}", 200))["waits_for_deletion"]


async def test_the_copies_of_another_project_need_not_wait(world: World) -> None:
    right, _ = await world.correct(project="RIGHT", participant="P_2")
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    await world.try_now()
    assert world.there() == []
    world.uid = (await world.api("GET", f"/transfers/{right}", 200))["released_study_uid"]
    assert world.there() == ["P_2"] * IMAGES


async def test_what_is_assigned_anew_waits_as_well(world: World) -> None:
    """Its copies would have the same UIDs, and go with those that are deleted."""
    await world.correct(project="RIGHT", participant="P_2")
    body = {"study_id": 1, "project": "WRONG", "participant": "P_9", "confirmed": True}
    anew = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=anew))
    assert await transfer_state(world.runtime, anew) == TransferState.REQUESTED
    await world.try_now()
    await world.line.run(TransferRequested(transfer_id=anew))
    assert world.there() == ["P_9"] * IMAGES


async def test_a_destination_that_is_away_is_tried_again(world: World) -> None:
    await world.change_destination(deletion_url=f"http://127.0.0.1:{free_port()}")
    await world.correct(participant="P_2")
    await world.recalls.round()
    recall = await world.recall()
    assert (recall.state, recall.detail, recall.attempts) == ("asked", "ConnectError", 1)
    assert now() < recall.due_at
    await world.change_destination()
    await world.recalls.round()
    assert world.there() == ["P_1"] * IMAGES, "it is not due yet"
    await world.try_now()
    assert world.there() == []
    assert (await world.recall()).state == RecallState.DONE


async def test_a_destination_that_is_away_keeps_no_other_waiting(world: World) -> None:
    away = world.destination(name="other", deletion_url=f"http://127.0.0.1:{free_port()}")
    await world.api("POST", "/destinations", 201, away)
    body = {"study_id": 1, "project": "RIGHT", "participant": "P_2"}
    second = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=second))
    await world.api("PATCH", "/projects/RIGHT", 200, {"destination_id": 2})
    await world.api("POST", f"/transfers/{second}/correct", 201, {"participant": "P_3"})
    await world.correct(participant="P_4")
    await world.try_now()
    states = {one.destination_id: one.state for one in await rows(world.runtime, Recall)}
    assert states == {1: RecallState.DONE, 2: RecallState.ASKED}
    assert world.there() == []


async def test_an_image_that_slips_out_meanwhile_is_deleted_too(world: World) -> None:
    late = Maker(7, size=16).ct(IMAGES + 1).instances[-1:]
    keys = arrive(world.runtime, late)
    right = 0
    real = world.line.destinations

    class Slow:
        """Sends an image after its transfer was taken back, and its neighbours were deleted."""

        async def send(self, work: Any) -> Any:
            nonlocal right
            world.line.destinations = real
            right, _ = await world.correct(participant="P_2")
            await world.try_now()
            assert world.there() == []
            await world.line.run(TransferRequested(transfer_id=right))
            return await real.send(work)

    world.line.destinations = Slow()
    await world.line.run(InstanceReceived(keys=tuple(keys)))
    assert world.there() == ["P_1"] + ["P_2"] * (IMAGES + 1)
    assert (await world.recall()).state == RecallState.ASKED

    await world.runtime.bus.purge()
    await world.try_now()
    assert world.there() == []
    # The right copies went with it: they are made once more.
    assert (await world.api("GET", f"/transfers/{right}", 200))["counts"]["in_flight"] == IMAGES + 1
    await bring_on(world, right)
    assert world.there() == ["P_2"] * (IMAGES + 1)
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE


async def bring_on(world: World, transfer: int) -> None:
    """Hand a transfer's deliveries on, as the events that were published would."""
    found = await rows(world.runtime, Delivery, transfer_id=transfer, state="assigned")
    places = [(one.transfer_id, one.series_id, one.id) for one in found]
    for transfer_id, series_id, ids in in_batches(places):
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


async def test_dicomweb_deletes_and_is_asked_whether_it_has(world: World, web: Web) -> None:
    web.holds = {world.uid, "1.2.3"}
    web.later = True
    await world.change_destination(deletion="dicomweb", deletion_url=web.url)
    await world.correct(participant="P_2")
    await world.try_now()
    recall = await world.recall()
    assert (recall.state, recall.detail) == (RecallState.ASKED, "the study is still there")
    web.later = False
    await world.try_now()
    assert web.holds == {"1.2.3"}
    assert (await world.recall()).state == RecallState.DONE


@pytest.mark.parametrize("deletion", ["orthanc", "dicomweb"])
async def test_a_wrong_address_is_not_taken_for_a_deletion(
    world: World, web: Web, deletion: str
) -> None:
    web.holds = {world.uid}
    wrong = web.url.replace("dicom-web", "elsewhere")
    await world.change_destination(deletion=deletion, deletion_url=wrong)
    await world.correct(participant="P_2")
    await world.try_now()
    recall = await world.recall()
    assert recall.state == RecallState.ASKED and "answered with" in recall.detail


async def test_where_sluse_can_not_delete_a_person_does_and_says_so(world: World) -> None:
    await world.change_destination(deletion="none")
    right, recall = await world.correct(participant="P_2")
    assert recall["state"] == RecallState.BY_HAND
    await world.try_now()
    assert (await world.recall()).state == RecallState.BY_HAND
    page = await world.api("GET", "/recalls?state=by-hand", 200)
    assert page["items"] == [await world.api("GET", f"/recalls/{recall['id']}", 200)]
    assert (await world.api("GET", "/recalls?state=done", 200))["items"] == []
    done = await world.api("POST", f"/recalls/{recall['id']}/done", 200)
    assert done["state"] == RecallState.DONE
    await world.api("POST", f"/recalls/{recall['id']}/done", 409)
    await world.api("POST", "/recalls/99/done", 404)
    await world.api("GET", "/recalls/99/instances", 404)
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE


async def test_a_destination_that_takes_no_deletions_any_more_leaves_them_to_a_person(
    world: World,
) -> None:
    await world.correct(participant="P_2")
    await world.change_destination(deletion="none")
    await world.try_now()
    assert (await world.recall()).state == RecallState.BY_HAND
    assert world.there() == ["P_1"] * IMAGES


async def test_where_images_take_the_place_of_others_nothing_waits(world: World) -> None:
    await world.change_destination(deletion="overwrites")
    right, recall = await world.correct(participant="P_2")
    assert recall["state"] == RecallState.DONE and recall["done_at"]
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    # Nothing takes their place where the study goes to another project.
    world.transfer = right
    _, recall = await world.correct(project="RIGHT", participant="P_3")
    assert recall["state"] == RecallState.BY_HAND


async def test_a_study_that_two_projects_share_is_left_to_a_person(world: World) -> None:
    """Where profiles keep UIDs, deleting one project's study would take the other's images."""
    body = {"study_id": 1, "project": "RIGHT", "participant": "P_2"}
    second = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=second))
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Release)).values(released_study_uid=world.uid))
    await world.correct(participant="P_3")
    await world.try_now()
    recall = await world.recall()
    assert recall.state == RecallState.BY_HAND and "another project" in recall.detail
    assert world.there() == ["P_1"] * IMAGES


async def test_what_was_never_released_needs_no_deletion(world: World) -> None:
    keys = arrive(world.runtime, Maker(8, size=16).ct(1).instances)
    await world.line.run(InstanceReceived(keys=tuple(keys)))
    body = {"study_id": 2, "project": "WRONG", "participant": "P_5"}
    world.transfer = (await world.api("POST", "/transfers", 201, body))["id"]
    right, recall = await world.correct(participant="P_6")
    assert recall is None and await rows(world.runtime, Recall) == []
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    assert await transfer_state(world.runtime, world.transfer) == TransferState.RECALLED
    assert len(await rows(world.runtime, Transfer)) == 3
