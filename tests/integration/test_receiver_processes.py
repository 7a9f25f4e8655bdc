"""Several receiver processes on one port, supervised."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from services.receiver.processes import supervise
from shared.errors import StartError
from shared.identity import MasterKey
from shared.settings import Settings
from tests.rawpeer import RawPeer
from tests.servers.common import free_port, wait_for

_SLUSE = Path(sys.executable).with_name("sluse")


class Team:
    """`sluse receiver` with three processes."""

    def __init__(self, folder: Path, amqp_url: str) -> None:
        self.port, self.metrics, self.spool = free_port(), free_port(), folder / "spool"
        knobs = {
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'sluse.db'}", "BUS_URL": amqp_url,
            "SPOOL_URL": self.spool.as_uri(), "MASTER_KEY": MasterKey.generate(),
            "DICOM_HOST": "127.0.0.1", "DICOM_PORT": self.port, "RECEIVER_PROCESSES": 3,
            "METRICS_PORT": self.metrics, "MAX_ASSOCIATIONS": 90, "ARTIM_TIMEOUT": 1,
        }  # fmt: skip
        environment = os.environ | {f"SLUSE_{name}": str(value) for name, value in knobs.items()}
        subprocess.run([_SLUSE, "migrate"], check=True, env=environment, capture_output=True)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [_SLUSE, "receiver"], env=environment, stdout=log, stderr=log
            )

    def members(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def send(self, number: int) -> None:
        with RawPeer(self.port) as peer:
            peer.associate()
            assert peer.store(b"image", f"1.2.{number}") == 0
            peer.release()

    def released(self) -> list[float]:
        """Associations that each process has served."""
        found = []
        for number in (1, 2, 3):
            url = f"http://127.0.0.1:{self.metrics + number}/metrics"
            text = httpx.get(url, trust_env=False).text
            lines = [line for line in text.splitlines() if 'outcome="released"' in line]
            found.append(float(lines[0].split()[-1]) if lines else 0)
        return found

    def ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return len(self.members()) == len(self.released()) == self._listening() == 3
        return False

    def _listening(self) -> int:
        rows = Path("/proc/net/tcp").read_text().splitlines()
        return sum(f":{self.port:04X} " in row and " 0A " in row for row in rows)


@pytest.fixture
def team(tmp_path: Path, amqp_url: str) -> Iterator[Team]:
    running = Team(tmp_path, amqp_url)
    try:
        wait_for(running.ready, "three processes")
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.process.terminate()
        running.process.wait(30)


def test_the_work_is_shared_and_the_dead_are_replaced(team: Team) -> None:
    for number in range(30):
        team.send(number)
    wait_for(lambda: sum(team.released()) == 30, "all to be counted")
    assert sum(share > 0 for share in team.released()) >= 2
    assert len(list(team.spool.rglob("*.dcm"))) == 30

    victim = team.members()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in team.members() and team.ready(), "its successor")
    for number in range(10):
        team.send(number)

    members = team.members()
    team.process.terminate()
    assert team.process.wait(30) == 0
    assert not any(Path(f"/proc/{one}").exists() for one in members)
    log = team.log.read_text()
    # One was killed. One whose port for metrics another test has just taken may have ended, too.
    replaced = [line for line in log.splitlines() if "another takes its place" in line]
    assert len([line for line in replaced if f'"code": {-signal.SIGKILL}' in line]) == 1, replaced


def test_they_end_with_the_one_that_started_them(team: Team) -> None:
    members = team.members()
    team.process.kill()
    wait_for(lambda: not any(map(_runs, members)), "the orphans to end")


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


async def test_sluse_up_is_one_process(settings: Settings) -> None:
    several = settings.model_copy(update={"receiver_processes": 2})
    with pytest.raises(StartError, match="`sluse up` is one process"):
        await supervise(several, asyncio.Event(), lambda *_: None)
