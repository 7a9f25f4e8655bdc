"""Sends a folder through the forwarder's destinations: a process of its own, so that it can be
measured from outside.
"""

import asyncio
import sys
import time
from pathlib import Path

from services.forwarder.destinations import Destinations
from services.forwarder.outcome import Verdict
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.work import Work
from shared.clock import now
from shared.header import read_header
from shared.settings import Settings

_BATCH = 256  # as the forwarder takes them from its queue


async def main(port: int, called: str, folders: list[Path]) -> None:
    """Send every folder as a series of its own; prints the seconds of CPU and on the clock."""
    peer = Peer(1, called, "127.0.0.1", port, associations=len(folders))
    destinations = Destinations(Settings())
    work = [
        Work(_parcel(number, path), peer, 1, now(), 1, series)
        for series, folder in enumerate(folders)
        for number, path in enumerate(sorted(folder.iterdir()), start=series * 1_000_000)
    ]
    work.sort(key=lambda one: one.id % 1_000_000)
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, len(work), _BATCH):
        answered = await destinations.send(work[start : start + _BATCH])
        if any(answer.verdict is not Verdict.DONE for _, answer in answered):
            raise SystemExit("not everything was taken")
    print(time.process_time() - cpu, time.perf_counter() - wall)
    await asyncio.to_thread(destinations.close)


def _parcel(number: int, path: Path) -> Parcel:
    header = read_header(path)
    return Parcel(
        number, path, header.text(0x00080016) or "", header.text(0x00080018) or "",
        header.transfer_syntax,
    )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], [Path(one) for one in sys.argv[3:]]))
