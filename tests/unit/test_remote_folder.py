"""What `sluse import` sends of a folder; and `sluse` starts without what only that needs."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.remote import folder
from sluse_client import Client, SluseError, models

_SIZE = 10


class Server:
    """An import's side of the protocol, in memory."""

    def __init__(self, max_chunk: int = 4) -> None:
        self.files: dict[str, int] = {}
        self.contents: dict[int, bytes] = {}
        self.max_chunk = max_chunk
        self.pieces = 0
        self.one_at_a_time = threading.Lock()
        self.breaks_after: int | None = None
        http = httpx.MockTransport(self.answer)
        self.client = Client("http://sluse.test", http=http, sleep=lambda _: None)

    def answer(self, request: httpx.Request) -> httpx.Response:
        with self.one_at_a_time:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            wanted = models.FilesCreate.model_validate_json(request.content).files
            return httpx.Response(200, json={
                "files": [self._file(one) for one in wanted], "max_chunk": self.max_chunk,
            })  # fmt: skip
        number = int(request.url.path.rpartition("/")[2])
        if self.breaks_after is not None and self.pieces >= self.breaks_after:
            return httpx.Response(507, json={"title": "The disk is full.", "status": 507})
        assert int(request.headers["upload-offset"]) == len(self.contents[number])
        self.pieces += 1
        self.contents[number] += request.content
        return httpx.Response(204, headers={"upload-offset": str(len(self.contents[number]))})

    def _file(self, wanted: models.FileCreate) -> dict[str, Any]:
        number = self.files.setdefault(wanted.path, len(self.files) + 1)
        here = self.contents.setdefault(number, b"")
        return {"id": number, "path": wanted.path, "size": wanted.size, "offset": len(here)}


@pytest.fixture
def cd(tmp_path: Path) -> Path:
    source = tmp_path / "cd"
    (source / "DICOM").mkdir(parents=True)
    for number in range(5):
        (source / "DICOM" / f"IM{number}").write_bytes(bytes([number]) * _SIZE)
    (source / "empty").touch()
    (source / "link").symlink_to(tmp_path)
    (source / "other").symlink_to(source / "empty")
    return source


def test_a_folder_is_listed_with_what_is_below_it_and_without_links(cd: Path) -> None:
    labels = [one.label for one in folder.listed(cd)]
    assert labels == [*(f"cd/DICOM/IM{number}" for number in range(5)), "cd/empty"]


def test_one_file_is_listed_by_its_name(cd: Path) -> None:
    [one] = folder.listed(cd / "DICOM" / "IM1")
    assert (one.label, one.size) == ("IM1", _SIZE)


def test_another_size_is_another_set_of_files(cd: Path) -> None:
    before = folder.mark(folder.listed(cd))
    assert folder.mark(folder.listed(cd)) == before
    assert "IM" not in before
    (cd / "empty").write_text("x")
    assert folder.mark(folder.listed(cd)) != before


def test_everything_is_sent_once(cd: Path) -> None:
    server, told = Server(), []
    folder.send(server.client, 1, folder.listed(cd), told.append)
    assert server.contents[server.files["cd/DICOM/IM3"]] == bytes([3]) * _SIZE
    assert sum(told) == 5 * _SIZE
    assert server.pieces == 5 * 3
    folder.send(server.client, 1, folder.listed(cd), told.append)
    assert server.pieces == 5 * 3


def test_what_broke_off_goes_on_where_it_was(cd: Path) -> None:
    server = Server()
    server.breaks_after = 7
    with pytest.raises(SluseError, match="disk is full"):
        folder.send(server.client, 1, folder.listed(cd), lambda _: None)
    assert server.pieces == 7
    server.breaks_after = None
    folder.send(server.client, 1, folder.listed(cd), lambda _: None)
    assert server.pieces == 5 * 3
    assert {len(content) for content in server.contents.values()} == {0, _SIZE}


def test_the_command_starts_without_what_one_command_needs() -> None:
    check = (
        "import sys, services.cli\n"
        "late = {'httpx', 'rich', 'sluse_client', 'sqlalchemy', 'fastapi'}\n"
        "print(*(late & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
