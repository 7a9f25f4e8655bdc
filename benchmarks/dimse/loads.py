"""What is sent: folders of images, one for each association that sends at the same time."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.deid import workloads
from demo.phantoms import Maker

KINDS = ("ct", "mr")
# Debian's dcmtk leaves Nagle's delay on; without this every image waits 40 ms for it.
_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}


def make(kind: str, folder: Path, files: int) -> None:
    """CT of 534 kB with a scanner's headers, or MR of 133 kB."""
    folder.mkdir(parents=True)
    if kind == "ct":
        workloads.ct(folder, files)
        return
    noise = np.random.default_rng(2)
    for number, image in enumerate(Maker(2, size=256).mr(files).instances):
        image.Rows = image.Columns = 256
        image.PixelData = noise.integers(0, 4095, 256 * 256, dtype="<u2").tobytes()
        image.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)


def shares(folder: Path, associations: int) -> list[Path]:
    """The folder in so many parts of equal size: links to its files."""
    parts = [folder.with_name(f"{folder.name}-{associations}-{one}") for one in range(associations)]
    if not parts[0].exists():
        for part in parts:
            part.mkdir()
        for number, file in enumerate(sorted(folder.iterdir())):
            (parts[number % associations] / file.name).hardlink_to(file)
    return parts


def send(parts: list[Path], port: int, called: str) -> float:
    """Send each part over an association of its own (dcmsend); seconds until all were answered."""
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            ["dcmsend", "-aec", called, "--scan-directories", "127.0.0.1", str(port), str(part)],
            env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for part in parts
    ]  # fmt: skip
    for sender in senders:
        _, complaint = sender.communicate(timeout=600)
        if sender.returncode:
            raise RuntimeError(f"dcmsend ended with {sender.returncode}: {complaint[-300:]}")
    return time.perf_counter() - began
