from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identity import (
    MasterKey,
    MasterKeyError,
    is_legal_uid,
    is_usable_uid,
    keyed_hash,
    keyed_uid,
    new_project_key,
)

KEY = bytes(range(32))


@given(st.text(max_size=80), st.binary(min_size=32, max_size=32))
def test_a_keyed_uid_is_always_legal(uid: str, key: bytes) -> None:
    released = keyed_uid(key, uid)
    assert is_legal_uid(released)
    assert released.startswith("2.25.")
    assert released == keyed_uid(key, uid)


def test_keys_and_purposes_keep_identifiers_apart() -> None:
    other = new_project_key()
    assert keyed_uid(KEY, "1.2.3") != keyed_uid(other, "1.2.3")
    assert keyed_hash(KEY, "study", "1.2.3") != keyed_hash(KEY, "value", "1.2.3")
    # HMAC-SHA256 by openssl: what is released today must be the same in ten years.
    assert keyed_uid(KEY, "1.2.3") == "2.25.323208961630152073077901537594917788276"


def test_keyed_hashes_fit_a_short_string() -> None:
    assert len(keyed_hash(KEY, "study", "1.2.3")) == 16
    assert keyed_hash(KEY, "study", "1.2.3").isascii()


@pytest.mark.parametrize(
    ("uid", "legal", "usable"),
    [
        ("1.2.840.10008.1.2", True, True),
        ("2.25." + "9" * 39, True, True),
        ("1.2.03", False, True),
        ("1", False, False),
        ("1..2", False, False),
        (".1.2", False, False),
        ("1.2.", False, False),
        ("1." + "2" * 63, False, False),
        ("../../etc/passwd", False, False),
        ("1.2/3", False, False),
        ("1.2\n", False, False),
        ("١.٢", False, False),
        ("", False, False),
    ],
)
def test_which_uids_are_legal_and_which_usable(uid: str, legal: bool, usable: bool) -> None:
    assert is_legal_uid(uid) is legal
    assert is_usable_uid(uid) is usable


def test_the_master_key_encrypts_and_decrypts() -> None:
    key = MasterKey(MasterKey.generate())
    token = key.encrypt(KEY)
    assert key.decrypt(token) == KEY
    assert KEY.hex() not in token
    with pytest.raises(MasterKeyError):
        MasterKey(MasterKey.generate()).decrypt(token)


def test_the_master_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    first = MasterKey.from_file_or_new(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert MasterKey.from_file_or_new(path).decrypt(first.encrypt(KEY)) == KEY


def test_a_missing_or_wrong_master_key_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="can't be read"):
        MasterKey.from_file(tmp_path / "none")
    (tmp_path / "wrong").write_text("hello")
    with pytest.raises(MasterKeyError, match="no master key"):
        MasterKey.from_file(tmp_path / "wrong")
