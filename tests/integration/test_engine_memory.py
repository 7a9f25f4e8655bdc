"""Objects larger than the memory that a process may have."""

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from demo.phantoms import Maker
from tests.helpers import part10

PIXELS = 900 << 20
MEMORY = 600 << 20
"""Address space, bytes: Python and the libraries take half of it."""
SCRIPT = """
import sys
from pathlib import Path
from services.anonymizer.engine import Plan, deidentify
plan = Plan(project="BICAM", key=bytes(32), participant="BICAM_001")
with open(sys.argv[2], "w+b") as target:
    deidentify(Path(sys.argv[1]), target, plan)
"""


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def large(syntax: str, path: Path) -> int:
    """Write an object whose pixel data is a hole in the file; where its value starts."""
    image = Maker(3, size=16).ct(1).instances[0]
    del image.PixelData
    image.file_meta.TransferSyntaxUID = syntax
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    header = part10(image) + struct.pack(f"{order}HH2sHL", 0x7FE0, 0x0010, b"OW", 0, PIXELS)
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.seek(len(header) + PIXELS // 2)
        file.write(b"middle")
        file.truncate(len(header) + PIXELS)
    return len(header)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=["fast", "careful"]
)
def test_pixel_data_is_never_held_in_memory(tmp_path: Path, syntax: str) -> None:
    source, target = tmp_path / "in.dcm", tmp_path / "out.dcm"
    large(syntax, source)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, source, target],
        preexec_fn=limited, check=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    copy = pydicom.dcmread(target, stop_before_pixels=True)
    assert copy.PatientID == "BICAM_001"
    size = target.stat().st_size
    with target.open("rb") as file:
        file.seek(size - PIXELS + PIXELS // 2)
        assert file.read(6) == b"middle"
        file.seek(size - PIXELS - 4)
        assert file.read(4) in (struct.pack("<L", PIXELS), struct.pack(">L", PIXELS))
    target.unlink()
