"""The engine by itself: what is looked at, where copies go, what is never overwritten."""

import errno
import json
import multiprocessing
import os
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from demo.phantoms import Maker
from services.anonymizer.engine.report import Change, Report, element_path
from services.anonymizer.standalone import (
    KeyFileError,
    Outcome,
    OutcomeKind,
    Plan,
    Summary,
    deidentify_all,
    make_key,
    read_key,
    zips,
)
from services.anonymizer.standalone import files as standalone_files
from services.anonymizer.standalone.inputs import Input, look_up, printable, verdict_on
from services.anonymizer.standalone.outcomes import Skip, Trouble
from services.anonymizer.standalone.outputs import Draft, Outputs, digest_of, target_of
from services.anonymizer.standalone.report import report_to
from services.anonymizer.standalone.words import in_words
from services.anonymizer.standalone.work import Task, do
from shared.errors import Reason
from tests.corpus import all_files
from tests.helpers import part10

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", date_shift_days=3)
UIDS = ("2.25.1", "2.25.2", "2.25.3")


def names(paths: list[Path], leave_out: Path | None = None) -> list[str]:
    return [one.name for one in look_up(paths, leave_out)]


# The report


def test_a_path_names_every_level() -> None:
    assert element_path(0x00080050) == "(0008,0050)"
    assert element_path(0x00400275, 1, 0x00080050) == "(0040,0275)[1].(0008,0050)"
    assert element_path(0x002110FE, 2, 0x00211042, 1, 0x0020000D) == (
        "(0021,10fe)[2].(0021,1042)[1].(0020,000d)"
    )


def test_a_report_is_json() -> None:
    report = Report([Change("(0008,0050)", "hash", "the table")], ["odd"])
    assert json.loads(json.dumps(report.as_json())) == {
        "changes": [{"path": "(0008,0050)", "action": "hash", "why": "the table"}],
        "warnings": ["odd"],
    }


# Inputs


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


# ZIPs


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    image = part10(Maker(1, size=16).ct(1).instances[0])
    path = zipped(tmp_path / "in.zip", {"../../evil.dcm": image, "/abs.dcm": image, "dir/": b""})
    found = list(look_up([tmp_path]))
    assert [one.name.rpartition(": ")[2] for one in found] == ["../../evil.dcm", "/abs.dcm"]
    task = Task(PLAN, tmp_path / "drafts", detailed=False)
    (tmp_path / "drafts").mkdir()
    one, two = (do(source, task) for source in found)
    assert isinstance(one, Draft) and isinstance(two, Draft)
    assert one.digest == two.digest
    assert sorted(tmp_path.iterdir()) == [tmp_path / "drafts", path]


def test_a_zip_in_a_zip_is_held(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a": b"x"}).read_bytes()
    zipped(tmp_path / "inner.zip", {"deep/inner.zip": inner})
    (found,) = look_up([tmp_path])
    outcome = do(found, Task(PLAN, None, detailed=False))
    assert outcome == Outcome(found.name, OutcomeKind.HELD, reason=Trouble.ZIP_INSIDE)


def test_a_zip_whose_members_share_bytes_is_held(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(5000), "b": b"x" * 9})
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\1\2")  # its size and its place become those of the first
    first = raw.index(b"PK\1\2")
    for field in (slice(16, 28), slice(42, 46)):
        raw[second + field.start : second + field.stop] = raw[
            first + field.start : first + field.stop
        ]
    path.write_bytes(raw)
    (found,) = look_up([tmp_path])
    assert found.verdict is Trouble.ZIP_TOO_LARGE


def test_a_zip_that_grows_beyond_measure_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(tmp_path / "a.zip", {"a": bytes(1 << 20)})
    assert [one.verdict for one in look_up([tmp_path])] == [None]
    monkeypatch.setattr(zips, "_ALWAYS_FINE", 1 << 19)
    assert [one.verdict for one in look_up([tmp_path])] == [Trouble.ZIP_TOO_LARGE]


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"PK\3\4" + bytes(100), os.urandom(500)])
def test_what_is_called_zip_and_is_none_is_held(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    (found,) = look_up([tmp_path])
    assert found.verdict is Trouble.ZIP_UNREADABLE


def test_locked_and_damaged_members_are_held(tmp_path: Path) -> None:
    image = part10(Maker(1, size=16).ct(1).instances[0])
    path = zipped(tmp_path / "damaged.zip", {"a.dcm": image})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    locked = zipped(tmp_path / "locked.zip", {"a.dcm": image})
    raw = bytearray(locked.read_bytes())
    raw[raw.rindex(b"PK\1\2") + 8] |= 1
    locked.write_bytes(raw)
    outcomes = [do(one, Task(PLAN, None, detailed=False)) for one in look_up([tmp_path])]
    assert [one.reason for one in outcomes if isinstance(one, Outcome)] == [
        Trouble.ZIP_UNREADABLE, Trouble.ZIP_LOCKED,
    ]  # fmt: skip


# Outputs


def test_a_copy_is_called_after_its_uids() -> None:
    assert target_of("P1", *UIDS) == "P1/2.25.1/2.25.2/2.25.3.dcm"
    assert target_of("P1", "1.3.ab", "1.3.0f", "09a") == "P1/1.3.ab/1.3.0f/09a.dcm"


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1..2", "../1", "1/2", "1." * 32 + "1", "1\n", "\0"]
)
def test_a_uid_that_means_something_to_a_file_system_names_no_file(uid: str) -> None:
    assert target_of("P1", "2.25.1", uid, "2.25.3") is None


def draft(outputs: Outputs, content: bytes, source: str = "in.dcm") -> Draft:
    assert outputs.drafts is not None
    path = outputs.drafts / f"{len(list(outputs.drafts.iterdir()))}"
    path.write_bytes(content)
    return Draft(source, "P1/2.25.1/2.25.2/2.25.3.dcm", digest_of(path), path, None)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with Outputs(tmp_path) as outputs:
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.WRITTEN
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.TWICE
        assert outputs.place(draft(outputs, b"two")).reason is Trouble.TARGET_TWICE
    with Outputs(tmp_path) as outputs:
        assert outputs.place(draft(outputs, b"two")).reason is Trouble.TARGET_EXISTS
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.ALREADY_THERE
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.TWICE
    (copy,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert copy.read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["P1"]


def test_a_link_in_the_place_of_a_copy_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "P1/2.25.1/2.25.2/2.25.3.dcm"
    place.parent.mkdir(parents=True)
    (tmp_path / "victim").write_bytes(b"one")
    place.symlink_to(tmp_path / "victim")
    with Outputs(tmp_path) as outputs:
        assert outputs.place(draft(outputs, b"two")).reason is Trouble.TARGET_EXISTS
        assert outputs.place(draft(outputs, b"one")).reason is Trouble.TARGET_EXISTS
    assert (tmp_path / "victim").read_bytes() == b"one"


def test_without_hard_links_nothing_is_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(standalone_files.os, "link", no_links)
    test_nothing_is_overwritten(tmp_path)


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(standalone_files.os, "link", full)
    with Outputs(tmp_path) as outputs:
        outcome = outputs.place(draft(outputs, b"one"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.HELD, Trouble.DISK_FULL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Keys


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = make_key(path)
    assert len(key) == 32 and read_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyFileError, match="exists"):
        make_key(path)
    assert read_key(path) == key
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"ab" * 31, b"ab" * 33, b"zz" * 32, b"\xff" * 32])
def test_what_is_no_key_is_refused_unquoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyFileError, match="holds no key") as caught:
        read_key(tmp_path / "key")
    assert "abab" not in str(caught.value) and "zz" not in str(caught.value)


# One file, and a whole run


def test_every_file_of_the_corpus_has_an_answer(tmp_path: Path) -> None:
    task = Task(PLAN, tmp_path, detailed=True)
    kinds = {type(do(one, task)) for one in look_up(all_files()[::4])}
    assert kinds == {Draft, Outcome}


def test_a_file_that_is_held_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    image = part10(Maker(1, size=16).ct(1).instances[0])
    (tmp_path / "cut.dcm").write_bytes(image[:-50])
    (source,) = look_up([tmp_path / "cut.dcm"])
    outcome = do(source, Task(PLAN, tmp_path / "drafts", detailed=False))
    assert isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.HELD
    assert not list((tmp_path / "drafts").iterdir())


class DeadlyPlan(Plan):
    """Takes the process down that de-identifies with it."""

    def __getattribute__(self, name: str) -> object:
        if name == "event" and multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().__getattribute__(name)


def test_a_crash_is_held_and_does_not_stop_the_run(tmp_path: Path) -> None:
    source = tmp_path / "a.dcm"
    source.write_bytes(part10(Maker(1, size=16).ct(1).instances[0]))
    (tmp_path / "b.txt").write_text("no image")
    plan = DeadlyPlan(**{name: getattr(PLAN, name) for name in ("project", "key", "participant")})
    summary = deidentify_all([tmp_path], tmp_path / "out", plan, workers=1)
    assert summary.held[Reason.ENGINE_CRASHED.in_words].first == [str(source)]
    assert summary.skipped == {"not DICOM": 1}
    assert not list((tmp_path / "out").iterdir())


def test_the_three_calls(tmp_path: Path) -> None:
    study = Maker(3, size=16).mr(3)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(study.instances):
        (tmp_path / f"in/{number}").write_bytes(part10(image))
    outcomes: list[Outcome] = []
    summary = deidentify_all(
        [tmp_path / "in"], tmp_path / "out", PLAN, workers=2, each=outcomes.append
    )
    assert summary.complete and summary.counts == {OutcomeKind.WRITTEN: 3}
    assert [Path(one.source).name for one in outcomes] == ["0", "1", "2"]
    assert all((tmp_path / "out" / one.output).is_file() for one in outcomes)


# Words


def test_a_summary_says_everything_once(tmp_path: Path) -> None:
    summary = Summary(found=9)
    for outcome in (
        Outcome("a", OutcomeKind.WRITTEN, "P/a"),
        Outcome("d", OutcomeKind.SKIPPED, reason=Skip.DICOMDIR),
        *(Outcome(f"h{n}", OutcomeKind.HELD, reason=Reason.TRUNCATED) for n in range(7)),
    ):
        summary.add(outcome)
    text = in_words(summary, tmp_path, PLAN)
    assert "7 held: The image ends in the middle" in text
    assert "h4" in text and "h5" not in text and "and 2 more" in text
    assert "1 DICOMDIR" in text and "not looked at" not in text
    assert not summary.complete


@pytest.mark.parametrize(
    ("found", "kinds", "complete"),
    [
        (1, [OutcomeKind.WRITTEN], True),
        (3, [OutcomeKind.ALREADY_THERE, OutcomeKind.TWICE, OutcomeKind.SKIPPED], True),
        (2, [OutcomeKind.WRITTEN], False),
        (2, [OutcomeKind.WRITTEN, OutcomeKind.HELD], False),
        (1, [OutcomeKind.SKIPPED], False),
        (0, [], False),
    ],
)
def test_complete_means_every_image_has_its_copy(
    found: int, kinds: list[OutcomeKind], complete: bool
) -> None:
    summary = Summary(found=found)
    for kind in kinds:
        summary.add(Outcome("a", kind))
    assert summary.complete is complete


def test_a_report_file_is_private_json_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = Report([Change("(0010,0010)", "Re-Mapped", "the table")])
    with report_to(path, PLAN, dry_run=False) as file:
        assert file is not None
        file.add(Outcome("a", OutcomeKind.WRITTEN, "P/a", report=report))
        file.add(Outcome("b", OutcomeKind.HELD, reason=Reason.NOT_DICOM))
        assert not path.exists()
        file.finish(Summary(found=2))
    content = json.loads(path.read_text())
    assert content["files"][0]["changes"] == [vars(report.changes[0])]
    assert content["files"][1]["in_words"] == Reason.NOT_DICOM.in_words
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PLAN.key.hex() not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]
