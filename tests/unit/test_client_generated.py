"""The generated client is that of the API as it is."""

from pathlib import Path

import pytest

from scripts.generate_client import ROOT, description, plain, write
from sluse_client import Client

_WRITTEN = ("models.py", "operations.py")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    write(folder)
    return folder


@pytest.mark.parametrize("name", _WRITTEN)
def test_the_committed_client_is_the_apis(fresh: Path, name: str) -> None:
    committed = (ROOT / "sluse_client" / name).read_text()
    assert (fresh / name).read_text() == committed, "the API has changed: run `make client`"


def test_every_operation_has_a_method() -> None:
    document = description()
    names = {
        operation["operationId"].partition("_api_v1_")[0]
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    by_hand = {"find_offset", "send_piece"}
    assert len(names) > 90
    assert {name for name in names if not hasattr(Client, name)} == by_hand


def test_namesakes_are_told_apart_without_module_paths() -> None:
    schemas = plain(description())["components"]["schemas"]
    assert {"ComparisonsKind", "CouplingsKind", "PageTransferRead"} <= set(schemas)
    assert not [name for name in schemas if not name.isalnum()]
