"""Sending: the same load into each PACS by each sender in turn, round after round."""

import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.dimse import loads
from benchmarks.dimse.inwards import Cost
from benchmarks.dimse.receivers import Receiver

_ASSOCIATIONS = 2
_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}

Costs = dict[tuple[str, str, str], list[Cost]]
"""By kind of image, PACS and sender."""


def measure(pacs: list[Receiver], folders: dict[str, Path], rounds: int) -> Costs:
    """Send every folder to every PACS by every sender, `rounds` times."""
    costs: Costs = defaultdict(list)
    for number in range(rounds):
        for kind, folder in folders.items():
            for one in pacs:
                turn = number % len(_SENDERS)
                for name in _SENDERS[turn:] + _SENDERS[:turn]:
                    costs[kind, one.name, name].append(_run(name, one, folder))
    return costs


def _run(sender: str, pacs: Receiver, folder: Path) -> Cost:
    images = sum(1 for _ in folder.iterdir())
    parts = loads.shares(folder, _ASSOCIATIONS)
    target = folder.with_name("received")
    with pacs.running(target):
        cpu, took = _send(sender, pacs, parts)
        if (held := pacs.held(target)) != images:
            raise RuntimeError(f"{pacs.name} has {held} images of {images}")
    return Cost(cpu / images * 1000, images / took)


def _send(sender: str, pacs: Receiver, parts: list[Path]) -> tuple[float, float]:
    """Seconds of CPU and on the clock."""
    before, began = _children(), time.perf_counter()
    processes = [
        subprocess.Popen(command, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        for command in _commands(sender, pacs, parts)
    ]
    said = [process.communicate(timeout=600)[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{sender} failed")
    if sender == _SLUSE:
        # Without its start: the forwarder is there already when images come.
        cpu, took = map(float, said[0].split())
        return cpu, took
    return _children() - before, time.perf_counter() - began


_SLUSE = "Sluse forwarder"
_SENDERS = ["dcmtk storescu", "dcmtk dcmsend", _SLUSE]


def _commands(sender: str, pacs: Receiver, parts: list[Path]) -> list[list[str]]:
    """One process for each part; Sluse sends them all in one."""
    place = ["127.0.0.1", str(pacs.port)]
    if sender == _SLUSE:
        return [[sys.executable, "-m", "benchmarks.dimse.sending", place[1], pacs.called,
                 *map(str, parts)]]  # fmt: skip
    if sender == "dcmtk storescu":
        return [["storescu", "-aec", pacs.called, "+sd", *place, str(part)] for part in parts]
    return [["dcmsend", "-aec", pacs.called, "+sd", *place, str(part)] for part in parts]


def _children() -> float:
    """CPU seconds of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
