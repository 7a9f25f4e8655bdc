from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.identity import MasterKey, MasterKeyError
from shared.settings import Settings, embedded


def test_every_knob_is_documented() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_knobs_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUSE_AE_TITLE", "LOCK")
    monkeypatch.setenv("SLUSE_RETRY_DELAYS", "[1, 2.5]")
    assert Settings().retry_delays == (1, 2.5)
    assert embedded(tmp_path).ae_title == "LOCK"
    assert embedded(tmp_path, ae_title="OTHER").ae_title == "OTHER"


def test_embedded_keeps_everything_in_one_folder(tmp_path: Path) -> None:
    settings = embedded(tmp_path / "data & ø")
    assert settings.spool_path == tmp_path / "data & ø" / "spool"
    assert settings.master_key_file == tmp_path / "data & ø" / "master.key"
    assert str(tmp_path) in settings.database_url.get_secret_value()


@pytest.mark.parametrize("url", ["s3://bucket", "file://elsewhere/x", "file:", "/plain/path"])
def test_a_spool_that_is_no_folder_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="spool_url"):
        Settings(spool_url=url)


@pytest.mark.parametrize("title", ["", "x" * 17, "a\\b", " x", "Ø"])
def test_ae_titles_follow_the_standard(title: str) -> None:
    with pytest.raises(ValidationError):
        Settings(ae_title=title)


def test_secrets_do_not_show() -> None:
    settings = Settings(
        database_url="postgresql+asyncpg://u:hidden@h/d", bus_url="amqp://u:hidden@h"
    )
    assert "hidden" not in repr(settings) and "hidden" not in str(settings.model_dump())


def test_the_master_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    text = MasterKey.generate()
    token = Settings(master_key=text).load_master_key().encrypt(b"secret")
    assert MasterKey(text).decrypt(token) == b"secret"
    with pytest.raises(MasterKeyError):
        Settings(master_key_file=tmp_path / "none").load_master_key()
    Settings(master_key_file=tmp_path / "new", create_master_key=True).load_master_key(new=True)
    assert (tmp_path / "new").exists()
