"""Starts the services as separate processes and talks to them from outside."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from shared.identity import MasterKey
from tests.servers.common import free_port, wait_for

_SLUSE = Path(sys.executable).with_name("sluse")
SERVICES = ("receiver", "classifier", "anonymizer", "forwarder", "api")


class Deployment:
    """The five services over one broker, one database and one spool."""

    def __init__(self, folder: Path, amqp_url: str, postgres_url: str, **knobs: object) -> None:
        self.folder, self.spool = folder, folder / "spool"
        self.dicom_port, self.http_port = free_port(), free_port()
        self.amqp_url, self.postgres_url = amqp_url, postgres_url
        self.metrics_ports = {name: free_port() for name in SERVICES if name != "api"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SLUSE_")
        }
        knobs = {"log_level": "DEBUG", "workers": 1, "patience": 2} | knobs
        self.master_key = MasterKey.generate()
        self._configure(
            database_url=postgres_url, bus_url=amqp_url, spool_url=self.spool.as_uri(),
            master_key=self.master_key, dicom_host="127.0.0.1", dicom_port=self.dicom_port,
            http_port=self.http_port, retry_delays="[0.5, 1]", ae_refresh=0.2,
            reconcile_every=0.5, association_idle=1, verify_after=0.5, **knobs,
        )  # fmt: skip
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.http_port}/api/v1", timeout=30, trust_env=False
        )

    def __enter__(self) -> Self:
        subprocess.run([_SLUSE, "migrate"], check=True, env=self._environment, capture_output=True)
        for service in SERVICES:
            self.start(service)
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for service in list(self._processes):
            self.stop(service)
        self.client.close()

    def wait_until_ready(self) -> None:
        """Wait until all services do their work."""
        wait_for(self._ready, "the services")

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return self.client.get("/pipeline").is_success
        except httpx.TransportError:
            return False

    def start(self, service: str, **knobs: object) -> None:
        """Start one service, with knobs of its own; `forwarder#2` is one more forwarder."""
        if service in self.metrics_ports:
            knobs["metrics_port"] = self.metrics_ports[service]
        with self.log(service).open("ab") as log:
            self._processes[service] = subprocess.Popen(
                [_SLUSE, service.partition("#")[0]], stdout=log, stderr=log,
                env=self._environment | _variables(knobs),
            )  # fmt: skip

    def death_of(self, service: str, seconds: float) -> int | None:
        """The exit code of a service that ends by itself; None when it does not in that time."""
        try:
            code = self._processes[service].wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        del self._processes[service]
        return code

    def stop(self, service: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop one service; its exit code."""
        process = self._processes.pop(service)
        process.send_signal(how)
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(
                f"{service} did not stop:\n{self.log(service).read_text()[-3000:]}"
            ) from None

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run another command on the same database, spool and broker."""
        return subprocess.run(
            [_SLUSE, *map(str, arguments)], env=self._environment, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip

    def pid(self, service: str) -> int:
        """The process of a service."""
        return self._processes[service].pid

    def log(self, service: str) -> Path:
        """Where a service logs."""
        return self.folder / f"{service}.log"

    def logs(self) -> dict[str, str]:
        """Everything that the services have logged."""
        return {service: self.log(service).read_text() for service in SERVICES}

    def warnings(self) -> list[dict[str, Any]]:
        """The log lines at warning and above."""
        lines = [line for text in self.logs().values() for line in text.splitlines()]
        records = [json.loads(line) for line in lines if line.startswith("{")]
        loud = [record for record in records if record["level"] in ("warning", "error", "critical")]
        return loud + [{"event": line} for line in lines if not line.startswith("{")]

    def metrics(self) -> dict[str, str]:
        """What each service tells Prometheus."""
        ports = self.metrics_ports | {"api": self.http_port}
        return {
            service: httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            for service, port in ports.items()
        }

    def get(self, path: str, **query: Any) -> Any:
        """Read a resource."""
        return self.client.get(path, params=query).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        """Create a resource."""
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def project(self, pacs_port: int, pacs_ae: str, code: str = "BICAM", **fields: Any) -> None:
        """Create a destination and a project that delivers to it."""
        destination = self.post(
            "/destinations", name=f"pacs for {code}", ae_title=pacs_ae, host="127.0.0.1",
            port=pacs_port,
        )  # fmt: skip
        self.post("/projects", code=code, destination_id=destination["id"], **fields)

    def transfer(self, study_uid: str, participant: str, project: str = "BICAM") -> dict[str, Any]:
        """Request a transfer of a study once it has shown up."""
        wait_for(
            lambda: self.get("/studies", study_instance_uid=study_uid)["items"],
            "a study to show up",
        )
        found: dict[str, Any] = self.post(
            "/transfers", study_instance_uid=study_uid, project=project, participant=participant
        )
        return found

    def ended(self, count: int, instances: int, seconds: float = 120) -> list[dict[str, Any]]:
        """The transfers once `count` of them, of so many instances, have nothing in flight."""

        def look() -> list[dict[str, Any]] | None:
            transfers: list[dict[str, Any]] = self.get("/transfers", limit=500)["items"]
            over = all(t["state"] in ("complete", "attention") for t in transfers)
            received = sum(t["counts"]["received"] for t in transfers)
            return transfers if over and len(transfers) == count and received == instances else None

        found: list[dict[str, Any]] = wait_for(look, f"{count} transfers to end", seconds)
        return found

    def _configure(self, **knobs: object) -> None:
        self._environment |= _variables(knobs)

    def _ready(self) -> bool:
        for service, process in self._processes.items():
            if process.poll() is not None:
                raise AssertionError(f"{service} ended:\n{self.log(service).read_text()[-3000:]}")
        listening = "listening" in self.log("receiver").read_text()
        connected = all("broker connected" in text for text in self.logs().values())
        return listening and connected and self.answers()


def _variables(knobs: dict[str, object]) -> dict[str, str]:
    """Knobs as the environment has them."""
    return {f"SLUSE_{name.upper()}": str(value) for name, value in knobs.items()}
