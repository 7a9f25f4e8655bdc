"""What the tests of recalls share: a delivered study, and a PACS that deletes it."""

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
from services.forwarder.recalls import Recalls
from shared.clock import now
from shared.events import InstanceReceived, TransferRequested
from shared.ledger.tables import Recall, core
from shared.runtime import Runtime
from tests.helpers import arrive, rows
from tests.integration.test_api_fixtures import Api
from tests.line import Line
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc

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
            "name": "pacs", "verification": "none", "ae_title": self.pacs.ae_title,
            "host": "127.0.0.1",
            "port": self.pacs.dicom_port, "deletion": "orthanc",
            "deletion_url": f"http://127.0.0.1:{self.pacs.http_port}/",
        } | fields  # fmt: skip

    async def change_destination(self, **fields: Any) -> None:
        await self.api("PUT", "/destinations/1", 200, self.destination(**fields))

    async def add_one_that_is_away(self) -> None:
        """A second destination, whose images come here and which can't be asked to delete them."""
        away = self.destination(name="other", deletion_url=f"http://127.0.0.1:{free_port()}")
        await self.api("POST", "/destinations", 201, away)

    async def correct(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        """The right transfer's id, and the recall."""
        path = f"/transfers/{self.transfer}/correct"
        made = await self.api("POST", path, 201, fields)
        (recall,) = made["recalls"] or [None]
        return made["transfer"]["id"], recall

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


def late(world: World) -> InstanceReceived:
    """One more image of the study arrives."""
    image = Maker(7, size=16).ct(IMAGES + 1).instances[-1:]
    return InstanceReceived(keys=tuple(arrive(world.runtime, image)))
