"""The system that is to survive, and what can be done to it."""

import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from demo.phantoms import Study
from tests.e2e.deployment import Deployment
from tests.e2e.test_journey import save
from tests.servers import dcmtk
from tests.servers.orthanc import Orthanc
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMq

WORKERS = ("classifier#2", "anonymizer#2", "forwarder#2")
"""One more of each kind."""
KILLED = -9
MODALITY = "MODALITY"
"""The calling AE title whose images a routing rule takes."""


class System(Deployment):
    """A deployment whose broker, database and PACS are reached through proxies."""

    def __init__(
        self, folder: Path, broker: RabbitMq, amqp_url: str, postgres_url: str, pacs: Orthanc
    ) -> None:
        self.broker, self.pacs = broker, pacs
        self.vhost = amqp_url.rpartition("/")[2]
        self.database = postgres_url.replace("+asyncpg", "")
        self.to_broker = Proxy(urlsplit(amqp_url).port or 0)
        self.to_database = Proxy(urlsplit(postgres_url).port or 0)
        self.to_pacs = Proxy(pacs.dicom_port)
        super().__init__(
            folder,
            _through(amqp_url, self.to_broker),
            _through(postgres_url, self.to_database),
            network_timeout=5, bus_heartbeat=5,
        )  # fmt: skip

    def set_up(self) -> None:
        """Start one more worker of each kind; whatever comes in belongs to a project."""
        for worker in WORKERS:
            self.start(worker)
        self.project(
            self.to_pacs.port, self.pacs.ae_title, participant_pattern="(CUT|NIGHT)[0-9]+_[0-9]+"
        )
        self.post(
            "/routing-rules", name="all", calling_aet=MODALITY, patient_id_pattern=".",
            project="BICAM",
        )  # fmt: skip

    def __exit__(self, *why: object) -> None:
        for proxy in self.proxies:
            proxy.heal()
        super().__exit__(*why)
        for proxy in self.proxies:
            proxy.close()

    @property
    def proxies(self) -> tuple[Proxy, Proxy, Proxy]:
        """The networks."""
        return self.to_broker, self.to_database, self.to_pacs

    def send(
        self, study: Study, folder: Path, calling: str = MODALITY, seconds: float = 120
    ) -> None:
        """Send a study as modalities do: again, until every image was answered with success."""
        if not folder.exists():
            save(study, folder)
        deadline = time.monotonic() + seconds
        while True:
            sent = dcmtk.run(
                "storescu", "-aet", calling, "-aec", "SLUSE", "+sd", "127.0.0.1",
                self.dicom_port, folder, check=False,
            )  # fmt: skip
            if sent.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"the study was not taken: {sent.stderr[-500:]}")
            time.sleep(0.3)

    def purge(self) -> None:
        """Throw every message away."""
        for queue in self._queues():
            self.broker.api("DELETE", f"queues/{self.vhost}/{queue}/contents")

    def delete_queue(self, number: int) -> None:
        """Delete a queue, and what is in it."""
        if queues := self._queues():
            self.broker.api("DELETE", f"queues/{self.vhost}/{queues[number % len(queues)]}")

    def end_sessions(self) -> None:
        """Have the database end every session, as its restart does."""
        subprocess.run(
            ["psql", "-q", "-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
             "datname = current_database() AND pid <> pg_backend_pid()", self.database],
            check=True, capture_output=True,
        )  # fmt: skip

    def _queues(self) -> list[str]:
        found: list[dict[str, Any]] = self.broker.api("GET", f"queues/{self.vhost}").json()
        return sorted(queue["name"] for queue in found)


class Watch:
    """Starts a service again that ends in the middle of its work, as an orchestrator does."""

    def __init__(self, system: System, service: str, seconds: float = 90) -> None:
        self.code: int | None = None
        self._system, self._service, self._seconds = system, service, seconds
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _look(self) -> None:
        self.code = self._system.death_of(self._service, self._seconds)
        if self.code is not None:
            self._system.start(self._service)


def _through(url: str, proxy: Proxy) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.port}/", f":{proxy.port}/")
