"""The engine by itself: what is read of ZIPs, and what is not."""

import os
import zipfile
from pathlib import Path

import pytest

from demo.phantoms import Maker
from services.anonymizer.standalone import Outcome, OutcomeKind, Plan, zips
from services.anonymizer.standalone.inputs import look_up
from services.anonymizer.standalone.outcomes import Trouble
from services.anonymizer.standalone.outputs import Draft
from services.anonymizer.standalone.patients import Patient
from services.anonymizer.standalone.work import Task, do, look_at
from shared.errors import Reason
from tests.helpers import part10

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001")
SECRET = bytes(32)


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
    task = Task(PLAN, tmp_path / "drafts", detailed=False, secret=SECRET)
    (tmp_path / "drafts").mkdir()
    one, two = (do(source, task) for source in found)
    assert isinstance(one, Draft) and isinstance(two, Draft)
    assert one.file and two.file and one.file.read_bytes() == two.file.read_bytes()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "drafts", path]


def test_a_zip_in_a_zip_is_held(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a": b"x"}).read_bytes()
    zipped(tmp_path / "inner.zip", {"deep/inner.zip": inner})
    (found,) = look_up([tmp_path])
    outcome = look_at(found, SECRET)
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


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"PK\3\4" + bytes(100), bytes(range(256))])
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
    outcomes = [look_at(one, SECRET) for one in look_up([tmp_path])]
    assert [one.reason for one in outcomes if isinstance(one, Outcome)] == [
        Trouble.ZIP_UNREADABLE, Trouble.ZIP_LOCKED,
    ]  # fmt: skip


@pytest.mark.parametrize("length", [10, 40_000, 200_000])
def test_the_patient_of_a_member_is_known_however_long_its_header(
    tmp_path: Path, length: int
) -> None:
    (image,) = Maker(1, size=16).ct(1).instances
    image.private_block(0x0009, "LONG", create=True).add_new(1, "OB", os.urandom(length))
    (tmp_path / "a.dcm").write_bytes(part10(image))
    zipped(tmp_path / "b.zip", {"a": part10(image)})
    plain, member = (look_at(one, SECRET) for one in look_up([tmp_path]))
    assert isinstance(plain, Patient) and all(plain)
    assert member == plain


def test_a_member_that_ends_too_early_is_held(tmp_path: Path) -> None:
    image = part10(Maker(1, size=16).ct(1).instances[0])
    zipped(tmp_path / "a.zip", {"cut.dcm": image[:400]})
    (found,) = look_up([tmp_path])
    assert look_at(found, SECRET) == Outcome(found.name, OutcomeKind.HELD, reason=Reason.TRUNCATED)
