"""Hostile and damaged files: a legal copy or a refusal, soon, and always the same.

`FUZZ_EXAMPLES=5000 pytest tests/unit/test_engine_fuzz.py` looks further than the suite does, at
other examples each time.
"""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from demo.phantoms import Maker
from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reject
from tests.corpus import read, storage_objects
from tests.helpers import part10
from tests.rawreading import read_raw

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="AAR1",
            site="BERGEN", date_shift_days=-37)  # fmt: skip
LARGEST, SECONDS = 60_000, 10
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None, suppress_health_check=list(HealthCheck),
)  # fmt: skip
# What breaks readers: lengths without end, too long, odd, none; tags of structure; VRs
SPLINTERS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xfe\xff\0\0", b"\1\0", b"\0\0\0\0",
             b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xfc\xff\xfc\xff",
             b"\xe0\x7f\x10\x00", b"\x10\0\x10\0", b"\x20\0\x0d\0", b"SQ", b"UN", b"OB", b"UI",
             b"DA", b"PN", b"\\", b"\x1b$B", b"\xc3\xb8", b"99999999"]  # fmt: skip


class Hang(BaseException):
    """Not an `Exception`: nothing may take it for a fault of the file."""


@contextmanager
def soon() -> Iterator[None]:
    """Ends what takes for ever."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "in.dcm"


def outcome(source: Path, content: bytes) -> bytes | None:
    """The copy, or None where the engine refuses. Anything else is the test's failure."""
    source.write_bytes(content)
    target = BytesIO()
    with soon():
        try:
            deidentify(source, target, PLAN)
        except (Reject, OSError):
            return None
    return target.getvalue()


def require_readable(copy: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(BytesIO(copy))
        assert data_set.file_meta.MediaStorageSOPInstanceUID == data_set.SOPInstanceUID
        assert data_set.PatientID == "BICAM_001"
        _require_levels(data_set)
    assert read_raw(copy).whole


def _require_levels(data_set: Dataset) -> None:
    for tag in list(data_set.keys()):
        if data_set.get_item(tag).VR == "SQ":
            for item in data_set[tag].value:
                _require_levels(item)


@cache
def seeds() -> list[bytes]:
    """Small files of every transfer syntax and kind that there are."""
    found = [path.read_bytes() for path in storage_objects() if path.stat().st_size < LARGEST]
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, None):
        for image in (Maker(1, size=16).mr(1).instances[0], Maker(1, size=16).ct(1).instances[0]):
            if syntax:
                image.file_meta.TransferSyntaxUID = syntax
            found.append(part10(image))
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with a few wounds, most of them in its header."""
    content = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(content), 3000)) | st.integers(0, len(content)))
        wound = draw(st.integers(0, 5))
        if wound == 0:
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif wound <= 2:
            splinter = draw(st.sampled_from(SPLINTERS))
            content[at : at + len(splinter)] = splinter
        elif wound == 3:
            content[at:at] = draw(st.sampled_from(SPLINTERS) | st.binary(max_size=40))
        elif wound == 4:
            del content[at : at + draw(st.integers(1, 64))]
        else:
            start = draw(st.integers(0, len(content)))
            content[at:at] = content[start : start + draw(st.integers(1, 400))]
    return bytes(content)


@fuzzed
@given(content=damaged())
def test_damaged_files_give_a_readable_copy_or_a_refusal(source: Path, content: bytes) -> None:
    copy = outcome(source, content)
    if copy is not None:
        require_readable(copy)
        assert outcome(source, content) == copy


def test_wounds_are_neither_all_deadly_nor_all_harmless(source: Path) -> None:
    """The test above has something to say in both cases."""
    whole = seeds()[0]
    assert outcome(source, whole) is not None
    assert outcome(source, whole[:200]) is None


@fuzzed
@given(content=st.binary(max_size=4000))
def test_garbage_gives_nothing(source: Path, content: bytes) -> None:
    assert outcome(source, content) is None
    assert outcome(source, bytes(128) + b"DICM" + content) is None


@fuzzed
@given(number=st.integers(0, 10_000), rest=st.binary(max_size=3000))
def test_garbage_after_a_good_beginning(source: Path, number: int, rest: bytes) -> None:
    whole = seeds()[number % len(seeds())]
    copy = outcome(source, whole[: number * 7919 % len(whole)] + rest)
    if copy is not None:
        require_readable(copy)


@fuzzed
@given(number=st.integers(0, 10_000), part=st.floats(0, 1, exclude_max=True))
def test_files_that_end_too_soon(source: Path, number: int, part: float) -> None:
    whole = seeds()[number % len(seeds())]
    copy = outcome(source, whole[: int(part * len(whole))])
    if copy is not None:
        require_readable(copy)


@cache
def _native() -> list[tuple[bytes, int, int]]:
    """Files whose pixels have a length, and where these stand."""
    found = []
    for path in storage_objects():
        content = path.read_bytes()
        raw = read_raw(content)
        pixels = [one for one in raw.elements if one.path == "7FE00010"]
        if len(raw.flat) == len(content) < LARGEST and pixels:
            header = content[pixels[0].start - 4 : pixels[0].start]
            if header != b"\xff\xff\xff\xff" and pixels[0].stop > pixels[0].start + 1:
                found.append((content, pixels[0].start, pixels[0].stop))
    return found


@fuzzed
@given(number=st.integers(0, 10_000), part=st.floats(0, 1, exclude_max=True))
def test_pixels_that_end_too_soon_are_refused(source: Path, number: int, part: float) -> None:
    content, start, stop = _native()[number % len(_native())]
    assert outcome(source, content[: start + int(part * (stop - start))]) is None


def test_endless_nesting_is_refused_soon(source: Path) -> None:
    """Sequences that open 100,000 items, with and without lengths, hidden and open."""
    image = part10(Maker(1, size=16).ct(1).instances[0])
    pixels = image.index(b"\xe0\x7f\x10\x00O")
    opened = b"\x53\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    unknown = b"\x53\x00\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    for bomb in (opened * 100_000, unknown * 100_000, opened[:12] * 100_000):
        began = time.monotonic()
        copy = outcome(source, image[:pixels] + bomb + image[pixels:])
        assert copy is None
        assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("path", storage_objects()[::4], ids=lambda path: path.name)
def test_files_and_memory_get_the_same_bytes(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    copy = outcome(tmp_path / "elsewhere.dcm", content)
    assert (copy is None) == ("Encapsulated" in read(path).SOPClassUID.name)
    if copy is not None:
        with (tmp_path / "out.dcm").open("w+b") as target:
            deidentify(path, target, PLAN)
        assert (tmp_path / "out.dcm").read_bytes() == copy
        assert path.read_bytes() == content


ALONE = """
import sys
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from services.anonymizer.engine import Plan, deidentify
plan = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="AAR1",
            site="BERGEN", date_shift_days=-37)
target = BytesIO()
deidentify(Path(sys.argv[1]), target, plan)
print(sha256(target.getvalue()).hexdigest())
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Slices of two series, one odd, and the digest of each copy by a process that saw no other."""
    folder = tmp_path_factory.mktemp("series")
    images = [*Maker(1, size=16).ct(4).instances, *Maker(2, size=16).mr(2).instances]
    images[1].PatientName = "Another^Person"  # a mixed series: what was constant is not
    images[2].PatientComments = f"copy of {images[2].StudyInstanceUID}, {images[1].PatientName}"
    digests = {}
    for number, image in enumerate(images):
        path = folder / f"{number}.dcm"
        path.write_bytes(part10(image))
        alone = subprocess.run([sys.executable, "-c", ALONE, path], check=True,
                               capture_output=True, text=True, timeout=60)  # fmt: skip
        digests[path] = alone.stdout.strip()
    return digests


@settings(fuzzed, max_examples=60)
@given(data=st.data())
def test_what_came_before_makes_no_difference(
    series: dict[Path, str], source: Path, data: st.DataObject
) -> None:
    for path in data.draw(st.lists(st.sampled_from(list(series)), min_size=2, max_size=12)):
        if data.draw(st.booleans()):
            outcome(source, data.draw(damaged()))
        copy = outcome(source, path.read_bytes())
        assert copy is not None
        assert sha256(copy).hexdigest() == series[path]
