import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import now
from shared.errors import Reason, Retry
from shared.spool import Association, Spool

ASSOCIATION = "0" * 32


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    return spool


def put(spool: Spool, key: str, content: bytes = b"x") -> None:
    with spool.writing(key) as file:
        file.write(content)


def files(spool: Spool) -> list[str]:
    root = spool.path(Spool.inbox_key(ASSOCIATION, 1)).parents[2]
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_keys_say_what_a_file_is() -> None:
    assert Spool.inbox_key(ASSOCIATION, 7) == f"inbox/{ASSOCIATION}/00000007.dcm"
    assert Spool.received_key("1.2", "1.3", "1.4", 1) == "received/1.2/1.3/1.4.dcm"
    assert Spool.received_key("1.2", "1.3", "1.4", 2) == "received/1.2/1.3/1.4.r2.dcm"
    assert Spool.released_key(9, "2.25.1", "2.25.2", 1) == "released/9/2.25.1/2.25.2.dcm"
    key = Spool.inbox_key(ASSOCIATION, 7)
    assert Spool.quarantine_key(key) == f"quarantine/{ASSOCIATION}/00000007.dcm"
    assert Spool.association_of(key) == ASSOCIATION


@pytest.mark.parametrize("uid", ["../1.2", "1.2/..", "", "1.2\0", "1" * 65, "/1.2", "1.2\n", "a.b"])
def test_no_uid_becomes_a_path_of_its_own_making(uid: str) -> None:
    with pytest.raises(ValueError):
        Spool.received_key(uid, "1.3", "1.4", 1)
    with pytest.raises(ValueError):
        Spool.received_key("1.2", "1.3", uid, 1)


@given(st.text(max_size=120))
def test_only_keys_made_here_become_paths(key: str) -> None:
    spool = Spool(Path("/spool"))
    try:
        path = spool.path(key)
    except ValueError:
        return
    assert path.resolve().is_relative_to("/spool")
    assert ".." not in path.parts


def test_a_file_appears_whole_or_not_at_all(spool: Spool) -> None:
    key = Spool.inbox_key(ASSOCIATION, 1)

    class Interrupted(Exception):
        pass

    with pytest.raises(Interrupted), spool.writing(key) as file:
        file.write(b"half")
        raise Interrupted
    assert files(spool) == []
    put(spool, key, b"whole")
    assert spool.path(key).read_bytes() == b"whole"
    assert files(spool) == [key]


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, Reason.DISK_FULL), (errno.EIO, Reason.DISK_TROUBLE)]
)
def test_a_full_or_broken_disk_is_nobodys_images_fault(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(Retry) as caught:
        put(spool, Spool.inbox_key(ASSOCIATION, 1))
    assert caught.value.reason is reason
    monkeypatch.undo()
    assert files(spool) == []


def test_adopted_files_have_both_names_until_one_is_discarded(spool: Spool) -> None:
    old, new = Spool.inbox_key(ASSOCIATION, 1), Spool.received_key("1.2", "1.3", "1.4", 1)
    put(spool, old, b"image")
    spool.adopt({old: new})
    assert files(spool) == sorted([old, new])
    spool.adopt({old: new})  # again, after a crash before the commit
    spool.discard([old])
    spool.discard([old])
    assert files(spool) == [new]
    assert spool.path(new).read_bytes() == b"image"


def test_a_file_that_was_never_committed_makes_room(spool: Spool) -> None:
    new = Spool.received_key("1.2", "1.3", "1.4", 1)
    put(spool, new, b"left over")
    put(spool, Spool.inbox_key(ASSOCIATION, 2), b"image")
    spool.adopt({Spool.inbox_key(ASSOCIATION, 2): new})
    assert spool.path(new).read_bytes() == b"image"


def test_adopting_a_file_that_is_gone_waits(spool: Spool) -> None:
    with pytest.raises(Retry) as caught:
        spool.adopt({Spool.inbox_key(ASSOCIATION, 9): Spool.received_key("1.2", "1.3", "1.4", 1)})
    assert caught.value.reason is Reason.SPOOL_FILE_MISSING


def test_the_inbox_is_a_work_list(spool: Spool) -> None:
    sender = Association(calling_aet="CT", called_aet="SLUSE", peer_address="::1", opened_at=now())
    spool.write_association(ASSOCIATION, sender)
    assert spool.read_association(ASSOCIATION) == sender
    put(spool, Spool.inbox_key(ASSOCIATION, 2))
    put(spool, Spool.inbox_key(ASSOCIATION, 1))
    keys = [Spool.inbox_key(ASSOCIATION, n) for n in (1, 2)]
    assert spool.waiting_associations() == [ASSOCIATION]
    assert spool.waiting_files(ASSOCIATION, older_than=2**40) == keys
    assert spool.waiting_files(ASSOCIATION, older_than=0) == []
    assert not spool.forget_association(ASSOCIATION)
    spool.discard(keys)
    assert spool.forget_association(ASSOCIATION)
    assert spool.waiting_associations() == []
    assert spool.read_association(ASSOCIATION) is None


def test_a_damaged_association_note_counts_as_missing(spool: Spool) -> None:
    folder = spool.path(Spool.inbox_key(ASSOCIATION, 1)).parent
    folder.mkdir()
    (folder / "association.json").write_text('{"calling')
    assert spool.read_association(ASSOCIATION) is None


def test_series_facts_stand_beside_the_series_folder(spool: Spool) -> None:
    put(spool, Spool.received_key("1.2", "1.3", "1.4", 1))
    spool.write_series_facts("1.2", "1.3", {"Modality": "CT"})
    series = spool.path(Spool.received_key("1.2", "1.3", "1.4", 1)).parent
    assert series.with_name("1.3.json").read_text() == '{\n "Modality": "CT"\n}'


def test_only_abandoned_temporary_files_are_swept(spool: Spool) -> None:
    tmp = spool.path(Spool.inbox_key(ASSOCIATION, 1)).parents[2] / "tmp"
    (tmp / "old").touch()
    os.utime(tmp / "old", (1, 1))
    (tmp / "new").touch()
    assert spool.sweep_temporary(older_than=1000) == 1
    assert [path.name for path in tmp.iterdir()] == ["new"]
