"""What classifying an image costs beside de-identifying it; `README.md` says how it is done."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from pydantic import SecretStr

from benchmarks.deid import workloads
from services.anonymizer.engine import Plan, deidentify
from shared.events import InstanceReceived
from shared.runtime import Runtime, open_runtime
from shared.settings import embedded
from tests.helpers import arrive, handle, received_consumer
from tests.servers.common import stop_all
from tests.servers.postgres import new_database, postgres

_EVENT = 64  # images, as the receiver announces them
_PLAN = Plan(project="BENCH", key=bytes(32), participant="BENCH_001", date_shift_days=-3)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluse-bench-") as name:
        folder = Path(name)
        (folder / "owner").write_text(str(os.getpid()))
        try:
            asyncio.run(_run(folder, chosen.files, chosen.rounds))
        finally:
            stop_all(folder)


async def _run(folder: Path, files: int, rounds: int) -> None:
    server = postgres(folder)
    print("| | step | CPU ms/image | images/s | rounds |\n|---|---|--:|--:|--:|")
    for kind in ("ct", "mr"):
        (folder / kind).mkdir()
        getattr(workloads, kind)(folder / kind, files)
        images = sorted((folder / kind).rglob("*.dcm"))
        measured: dict[str, list[tuple[float, float]]] = {"classify": [], "de-identify": []}
        for number in range(rounds):
            place = folder / f"{kind}-{number}"
            url = SecretStr(new_database(server))
            settings = embedded(place).model_copy(update={"database_url": url})
            place.mkdir()
            async with open_runtime(settings, "benchmark", migrating=True) as runtime:
                contents = [image.read_bytes() for image in images]
                events = _announced(runtime, contents)
                del contents
                measured["classify"].append(await _timed(_classify(runtime, events)))
                measured["de-identify"].append(await _timed(_deidentify(images, runtime)))
        for step, costs in measured.items():
            wall, cpu = (statistics.median(column) for column in zip(*costs, strict=True))
            print(f"| {kind} | {step} | {cpu / files * 1000:.2f} | {files / wall:.0f} | {rounds} |")


def _announced(runtime: Runtime, contents: Sequence[bytes]) -> list[InstanceReceived]:
    keys = arrive(runtime, contents)
    return [
        InstanceReceived(keys=tuple(keys[start : start + _EVENT]))
        for start in range(0, len(keys), _EVENT)
    ]


async def _classify(runtime: Runtime, events: list[InstanceReceived]) -> None:
    consumer = received_consumer(runtime)
    for start in range(0, len(events), consumer.queue.batch):
        await handle(consumer, *events[start : start + consumer.queue.batch])


async def _deidentify(images: Sequence[Path], runtime: Runtime) -> None:
    # Into the spool, as the anonymizer does: complete under its name and synced, or not there.
    for number, image in enumerate(images, start=1):
        with runtime.spool.writing(runtime.spool.released_key(1, "1.2", f"1.{number}", 1)) as copy:
            deidentify(image, copy, _PLAN)


async def _timed(work: Awaitable[None]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
