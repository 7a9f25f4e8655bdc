"""The engine by itself: where copies go, and that none is ever overwritten."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.anonymizer.standalone import OutcomeKind
from services.anonymizer.standalone import outputs as outputs_module
from services.anonymizer.standalone.outcomes import Trouble
from services.anonymizer.standalone.outputs import Draft, Outputs, target_of

UIDS = ("2.25.1", "2.25.2", "2.25.3")


def test_a_copy_is_called_after_its_uids() -> None:
    assert target_of("P1", *UIDS) == "P1/2.25.1/2.25.2/2.25.3.dcm"
    assert target_of("P1", "1.3.ab", "1.3.0f", "09a") == "P1/1.3.ab/1.3.0f/09a.dcm"


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1..2", "../1", "1/2", "1." * 32 + "1", "1\n", "\0"]
)
def test_a_uid_that_means_something_to_a_file_system_names_no_file(uid: str) -> None:
    assert target_of("P1", "2.25.1", uid, "2.25.3") is None


@contextmanager
def prepared(root: Path) -> Iterator[Outputs]:
    with Outputs(root) as outputs:
        outputs.prepare()
        yield outputs


def draft(outputs: Outputs, content: bytes, source: str = "in.dcm") -> Draft:
    assert outputs.drafts is not None
    path = outputs.drafts / f"{len(list(outputs.drafts.iterdir()))}"
    path.write_bytes(content)
    return Draft(source, "P1/2.25.1/2.25.2/2.25.3.dcm", path, "", None)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with prepared(tmp_path) as outputs:
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.WRITTEN
        assert outputs.place(draft(outputs, b"one")).kind is OutcomeKind.TWICE
        assert outputs.place(draft(outputs, b"two")).reason is Trouble.TARGET_TWICE
        assert outputs.drafts and not list(outputs.drafts.iterdir())
    with prepared(tmp_path) as outputs:
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
    with prepared(tmp_path) as outputs:
        assert outputs.place(draft(outputs, b"two")).reason is Trouble.TARGET_EXISTS
        assert outputs.place(draft(outputs, b"one")).reason is Trouble.TARGET_EXISTS
    assert (tmp_path / "victim").read_bytes() == b"one"


def test_without_hard_links_nothing_is_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    test_nothing_is_overwritten(tmp_path)


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", full)
    with prepared(tmp_path) as outputs:
        outcome = outputs.place(draft(outputs, b"one"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.HELD, Trouble.DISK_FULL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_dry_run_tells_copies_apart_by_their_digests(tmp_path: Path) -> None:
    def dry(content: bytes) -> Draft:
        digest = hashlib.sha256(content).hexdigest()
        return Draft("in.dcm", "P1/2.25.1/2.25.2/2.25.3.dcm", None, digest, None)

    with Outputs(tmp_path, dry_run=True) as outputs:
        outputs.prepare()
        assert outputs.place(dry(b"one")).kind is OutcomeKind.WRITTEN
        assert outputs.place(dry(b"one")).kind is OutcomeKind.TWICE
        assert outputs.place(dry(b"two")).reason is Trouble.TARGET_TWICE
    assert not list(tmp_path.iterdir())
    with prepared(tmp_path) as outputs:
        outputs.place(draft(outputs, b"one"))
    with Outputs(tmp_path, dry_run=True) as outputs:
        assert outputs.place(dry(b"two")).reason is Trouble.TARGET_EXISTS
        assert outputs.place(dry(b"one")).kind is OutcomeKind.ALREADY_THERE


def test_a_folder_is_synced_once_something_is_named_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(outputs_module, "sync", synced.append)
    with prepared(tmp_path) as outputs:
        outputs.place(draft(outputs, b"one"))
        assert not synced
    series = tmp_path / "P1/2.25.1/2.25.2"
    assert set(synced) == {series, *list(series.parents)[:3]}
