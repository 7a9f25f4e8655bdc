"""The engine by itself: files with keys."""

import stat
from pathlib import Path

import pytest

from services.anonymizer.standalone import KeyFileError, make_key, read_key


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
