"""The engine by itself: which files are looked at."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from services.anonymizer.standalone.inputs import Input, look_up, printable, verdict_on
from services.anonymizer.standalone.outcomes import Skip, Trouble


def names(paths: list[Path], leave_out: Path | None = None) -> list[str]:
    return [one.name for one in look_up(paths, leave_out)]


def test_folders_are_entered_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/3", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names([tmp_path]) == [str(tmp_path / name) for name in ("a/3", "b/1", "b/2", "c")]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/image").write_bytes(b"x")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/self").symlink_to(tmp_path / "in/self")
    (tmp_path / "in/gone").symlink_to(tmp_path / "nowhere")
    found = {Path(one.name).name: one.verdict for one in look_up([tmp_path / "in"])}
    assert found == {
        "image": None, "self": Trouble.UNREADABLE_FILE, "gone": Trouble.UNREADABLE_FILE,
    }  # fmt: skip


def test_a_very_deep_folder_is_no_trouble(tmp_path: Path) -> None:
    before, depth = Path.cwd(), sys.getrecursionlimit() + 100
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
        Path("image").write_bytes(b"x")
        (found,) = look_up([tmp_path])
        assert found.name.count("/d") >= depth
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-r", tmp_path / "d"])  # deeper than shutil, and pytest, can


def test_the_output_folder_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/copy").write_bytes(b"x")
    (tmp_path / "image").write_bytes(b"x")
    (tmp_path / "alias").symlink_to(tmp_path / "out")
    assert names([tmp_path], tmp_path / "out") == [str(tmp_path / "image")]


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (found,) = look_up([tmp_path])
    assert found.verdict is Skip.NOT_DICOM


def test_names_are_shown_without_terminal_codes() -> None:
    assert printable("a\x1b[31mb\n") == "a\ufffd[31mb\ufffd"
    assert printable(os.fsdecode(b"\xff.dcm")) == "\ufffd.dcm"


def meta(sop_class: bytes) -> bytes:
    value = sop_class + b"\0" * (len(sop_class) % 2)
    element = b"\2\0\2\0UI" + struct.pack("<H", len(value)) + value
    return bytes(128) + b"DICM" + element


@pytest.mark.parametrize(
    ("head", "name", "verdict"),
    [
        (meta(b"1.2.840.10008.1.3.10"), "x", Skip.DICOMDIR),
        (meta(b"1.2.840.10008.5.1.4.1.1.2"), "DICOMDIR", None),
        (b"", "a", Skip.NOT_DICOM),
        (b"hello, world", "notes.txt", Skip.NOT_DICOM),
        (b"hello, world", "IMG1.DCM", None),
        (b"\0\5\x16\7" + bytes(40), "._IMG1.dcm", Skip.NOT_DICOM),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "IM1", None),
        (b"\x08\0\x08\0\x1a\0\0\0ORIGINAL", "IM1", None),
        (b"\0\x08\0\x08CS\0\x1aORIGINAL", "IM1", None),
        (b"\x08\0\x05\0\xff\xff\xff\xff", "IM1", Skip.NOT_DICOM),
    ],
)
def test_the_first_bytes_say_what_a_file_is(head: bytes, name: str, verdict: Skip | None) -> None:
    assert verdict_on(head, Input(Path(name), name)) is verdict
