"""Receiving: the same load into each receiver in turn, round after round."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dimse import loads
from benchmarks.dimse.processes import cpu_seconds
from benchmarks.dimse.receivers import Receiver


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    cpu: float
    """Milliseconds of the receiver for an image."""
    pace: float
    """Images a second."""


Costs = dict[tuple[str, str, int], list[Cost]]
"""By receiver, kind of image, and number of associations."""


def measure(
    receivers: list[Receiver], folders: dict[str, Path], associations: list[int], rounds: int
) -> Costs:
    """Send every folder into every receiver, `rounds` times, each time in another order."""
    costs: Costs = defaultdict(list)
    for number in range(rounds):
        for kind, folder in folders.items():
            for lines in associations:
                turn = number % len(receivers)
                for one in receivers[turn:] + receivers[:turn]:
                    costs[one.name, kind, lines].append(_run(one, folder, lines))
    return costs


def _run(receiver: Receiver, folder: Path, associations: int) -> Cost:
    parts = loads.shares(folder, associations)
    images = sum(1 for _ in folder.iterdir())
    target = folder.with_name("received")
    with receiver.running(target):
        before = cpu_seconds(receiver.pid)
        took = loads.send(parts, receiver.port, receiver.called)
        time.sleep(0.3)  # a process for each association ends a little later
        cpu = cpu_seconds(receiver.pid) - before
        if (held := receiver.held(target)) != images:
            raise RuntimeError(f"{receiver.name} has {held} images of {images}")
    return Cost(cpu / images * 1000, images / took)
