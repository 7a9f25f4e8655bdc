"""The whole journey: dcmsend, Sluse with RabbitMQ and PostgreSQL, and a research PACS behind it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dimse import loads
from benchmarks.dimse.processes import cpu_seconds
from benchmarks.dimse.receivers import Receiver
from tests.e2e.deployment import SERVICES, Deployment

_LONGEST = 900.0


@dataclass(frozen=True)
class Journey:
    """What one run took."""

    pace: float
    """Images a second, from the first one sent to the last one delivered."""
    cpu: dict[str, float]
    """Milliseconds for an image, by service."""


@contextmanager
def sluse(folder: Path, amqp_url: str, postgres_url: str, sink: Receiver) -> Iterator[Deployment]:
    """Sluse as processes; whatever arrives goes into one project, and to `sink`."""
    folder.mkdir(parents=True)
    with Deployment(folder, amqp_url, postgres_url, log_level="INFO", patience=60) as deployment:
        deployment.project(sink.port, sink.called, participant_pattern="BICAM_{n:4}")
        deployment.post(
            "/routing-rules", name="all", called_aet="SLUSE", patient_id_pattern=".*",
            project="BICAM", trusted=False,
        )  # fmt: skip
        yield deployment


def run(deployment: Deployment, folder: Path, associations: int) -> Journey:
    """Send a folder, and wait until all of it is delivered."""
    images = sum(1 for _ in folder.iterdir())
    parts = loads.shares(folder, associations)
    pids = {service: deployment.pid(service) for service in SERVICES}
    before = {service: cpu_seconds(pid) for service, pid in pids.items()}
    began = time.perf_counter()
    loads.send(parts, deployment.dicom_port, "SLUSE")
    _wait(lambda: _delivered(deployment), images)
    took = time.perf_counter() - began
    cpu = {
        service: (cpu_seconds(pid) - before[service]) / images * 1000
        for service, pid in pids.items()
    }
    return Journey(images / took, cpu)


def run_peer(peer: Receiver, sink: Receiver, target: Path, folder: Path, lines: int) -> Journey:
    """The same through one that receives, modifies and forwards by itself."""
    images = sum(1 for _ in folder.iterdir())
    parts = loads.shares(folder, lines)
    before = cpu_seconds(peer.pid)
    began = time.perf_counter()
    loads.send(parts, peer.port, peer.called)
    _wait(lambda: sink.held(target), images)
    took = time.perf_counter() - began
    return Journey(images / took, {"all": (cpu_seconds(peer.pid) - before) / images * 1000})


def _delivered(deployment: Deployment) -> int:
    transfers = deployment.get("/transfers", limit=50)["items"]
    return sum(one["counts"]["delivered"] for one in transfers)


def _wait(count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + _LONGEST
    while count() < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count()} of {wanted} images arrived in {_LONGEST} s")
        time.sleep(0.05)
