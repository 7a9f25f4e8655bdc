"""Hospital nights: studies come in while everything around them fails, in a mixture of its seed.

`make chaos SEED=7` replays the night of seed 7: the same faults in the same order, though the
services' own timing differs.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.phantoms import Maker
from shared.faults import Point
from tests.chaos.account import require_all_delivered
from tests.chaos.system import WORKERS, System
from tests.e2e.deployment import SERVICES
from tests.helpers import part10
from tests.rawpeer import RawPeer, store_command
from tests.servers.common import wait_for
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.skipif(
    "CHAOS_NIGHTS" not in os.environ, reason="nights are for `make chaos`"
)

STUDIES, IMAGES, FAULTS = 4, 40, 14
REPORTS = Path("build/chaos")
EVERYBODY = (*SERVICES, *WORKERS)


class Night:
    """What goes wrong, and a list of it."""

    def __init__(self, system: System, chance: random.Random) -> None:
        self._system, self._chance = system, chance
        self.happened: list[str] = []

    def fault(self) -> None:
        """Let something go wrong."""
        what = self._chance.choice((
            self._kill, self._kill, self._arm, self._arm, self._terminate, self._cut, self._cut,
            self._cut, self._hang, self._refuse, self._purge, self._delete_queue,
            self._end_sessions, self._sender_aborts,
        ))  # fmt: skip
        what()

    def over(self) -> None:
        """It is morning: the networks work, and an orchestrator has started what had ended."""
        for proxy in self._system.proxies:
            proxy.heal()
        for service in EVERYBODY:
            if self._system.death_of(service, 0.1) is not None:
                self._system.start(service)
        wait_for(self._system.answers, "the API")

    def _note(self, *what: object) -> None:
        self.happened.append(" ".join(map(str, what)))

    def _kill(self) -> None:
        service = self._chance.choice(EVERYBODY)
        self._note("kill", service)
        self._end(service, signal.SIGKILL)
        self._system.start(service)

    def _terminate(self) -> None:
        service = self._chance.choice(EVERYBODY)
        self._note("terminate", service)
        self._end(service, signal.SIGTERM)
        self._system.start(service)

    def _arm(self) -> None:
        """A service that ends within its work; it is started again at the next chance or by day."""
        service = self._chance.choice([one for one in EVERYBODY if one != "api"])
        kind = service.partition("#")[0]
        own = [p for p in Point if p.startswith((kind, "bus." if kind != "receiver" else kind))]
        point, passing = self._chance.choice(own), self._chance.randint(1, 3)
        self._note("end", service, "at", f"{point}:{passing}")
        self._end(service, signal.SIGKILL)
        self._system.start(service, fault=f"{point}:{passing}")

    def _end(self, service: str, how: signal.Signals) -> None:
        if self._system.death_of(service, 0) is None:
            self._system.stop(service, how)

    def _network(self) -> tuple[str, Proxy]:
        return self._chance.choice(
            list(zip(("broker", "database", "pacs"), self._system.proxies, strict=True))
        )

    def _cut(self) -> None:
        (name, proxy), after = self._network(), self._chance.randint(1, 200_000)
        self._note("cut", name, "after", after, "bytes")
        proxy.cut_within(after)

    def _hang(self) -> None:
        (name, proxy), seconds = self._network(), self._chance.uniform(0.5, 3)
        self._note("hang", name, "for", round(seconds, 1), "s")
        proxy.hang()
        time.sleep(seconds)
        proxy.heal()

    def _refuse(self) -> None:
        (name, proxy), seconds = self._network(), self._chance.uniform(0.5, 3)
        self._note("refuse", name, "for", round(seconds, 1), "s")
        proxy.refuse()
        time.sleep(seconds)
        proxy.heal()

    def _purge(self) -> None:
        self._note("purge")
        self._system.purge()

    def _delete_queue(self) -> None:
        number = self._chance.randrange(100)
        self._note("delete queue", number)
        self._system.delete_queue(number)

    def _end_sessions(self) -> None:
        self._note("end database sessions")
        self._system.end_sessions()

    def _sender_aborts(self) -> None:
        """In the middle of a data set."""
        self._note("sender aborts")
        image = part10(Maker(5, size=32).ct(1).instances[0])
        try:
            with RawPeer(self._system.dicom_port, timeout=2) as peer:
                peer.associate()
                peer.say(3, store_command("1.2.840.99999.1"))
                peer.say(0, image[300:1500])
                peer.socket.close()
        except (OSError, AssertionError):
            return  # the receiver is just away


def test_a_night_of_faults_loses_nothing(
    system: System, chance: random.Random, seed: int, tmp_path: Path
) -> None:
    studies = {
        f"NIGHT{seed}_{number}": Maker(seed * 1000 + 500 + number, size=32).ct(
            IMAGES, f"NIGHT{seed}_{number}"
        )
        for number in range(STUDIES)
    }
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    def sender(participant: str, folder: Path) -> threading.Thread:
        study = studies[participant]
        return threading.Thread(target=guarded, args=[lambda: system.send(study, folder)])

    senders = [sender(one, tmp_path / one) for one in studies]
    # One study comes over two associations at once.
    twice = next(iter(studies))
    senders.append(sender(twice, tmp_path / f"{twice}-again"))
    night = Night(system, chance)
    try:
        for number in range(FAULTS):
            if number < len(senders):
                senders[number].start()
            time.sleep(chance.uniform(0.1, 1.0))
            night.fault()
        night.over()
        for one in senders:
            one.join()
        assert failed == []
        require_all_delivered(system, system.pacs, studies)
    finally:
        REPORTS.mkdir(parents=True, exist_ok=True)
        (REPORTS / f"night-{seed}.json").write_text(json.dumps(night.happened, indent=1))
