"""What the tests of imports share: an uploader like the page's, CDs and ZIPs."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset
from pydicom.fileset import FileSet
from sqlalchemy import update

from demo.phantoms import Maker
from services.api.imports.worker import Worker
from shared.clock import now
from shared.events import InstanceReceived
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportFile, ImportItem, ImportStudy, core
from shared.runtime import Runtime
from tests.helpers import handle, part10, received_consumer, rows
from tests.integration.test_api_fixtures import PROJECT, Api

PIECE = {"content-type": "application/offset+octet-stream"}
IMPORTS = "/api/v1/imports"


class Uploader:
    """Sends files as the page does: names them, asks where each goes on, sends pieces."""

    def __init__(self, client: httpx.AsyncClient, chunk: int = 1 << 20) -> None:
        self.client, self.chunk = client, chunk

    async def begin(self, **body: Any) -> int:
        answer = await self.client.post(IMPORTS, json={"project": "BICAM"} | body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def name(self, import_id: int, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
        listed = [{"path": path, "size": len(content)} for path, content in files.items()]
        answer = await self.client.post(f"{IMPORTS}/{import_id}/files", json={"files": listed})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["files"])

    async def piece(
        self, import_id: int, file_id: int, offset: object, content: Any
    ) -> httpx.Response:
        headers = PIECE | {"upload-offset": str(offset)}
        path = f"{IMPORTS}/{import_id}/files/{file_id}"
        return await self.client.patch(path, content=content, headers=headers)

    async def offset(self, import_id: int, file_id: int) -> int:
        answer = await self.client.head(f"{IMPORTS}/{import_id}/files/{file_id}")
        assert answer.status_code == 204
        return int(answer.headers["upload-offset"])

    async def upload(self, import_id: int, files: Mapping[str, bytes]) -> int:
        """Send what is not here yet of the files; how many bytes that were."""
        sent = 0
        for one in await self.name(import_id, files):
            content, offset = files[one["path"]], one["offset"]
            while offset < len(content):
                piece = content[offset : offset + self.chunk]
                answer = await self.piece(import_id, one["id"], offset, piece)
                assert answer.status_code == 204, answer.text
                offset = int(answer.headers["upload-offset"])
                sent += len(piece)
        return sent

    async def finish(self, import_id: int, status: int = 202) -> Any:
        answer = await self.client.post(f"{IMPORTS}/{import_id}/finish")
        assert answer.status_code == status, answer.text
        return answer.json()


async def read_all(runtime: Runtime) -> None:
    """Let the worker look into what was finished."""
    await Worker(runtime).work(ImportState.READING)


async def bring_all(runtime: Runtime) -> None:
    """Let the worker bring in what was accepted."""
    await Worker(runtime).work(ImportState.BRINGING)


async def catalogue(runtime: Runtime) -> None:
    """Let the classifier take what stands in the inbox."""
    consumer = received_consumer(runtime)
    for association in runtime.spool.waiting_associations():
        keys = runtime.spool.waiting_files(association, now().timestamp() + 60)
        for start in range(0, len(keys), 64):
            await handle(consumer, InstanceReceived(keys=tuple(keys[start : start + 64])))


def cd(folder: Path, images: list[Dataset], **others: bytes) -> dict[str, bytes]:
    """The files of a CD with these images, by their paths on it: DICOMDIR, viewer and all."""
    fileset = FileSet()
    for image in images:
        # PS3.3 annex F wants what research images leave out.
        image.StudyID = image.get("StudyID") or "1"
        image.SeriesNumber = image.get("SeriesNumber") or "1"
        fileset.add(image)
    fileset.write(folder)
    found = {
        f"CD/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return found | {
        "CD/autorun.inf": b"[autorun]\nopen=viewer.exe\n",
        "CD/VIEWER/viewer.exe": b"MZ" + bytes(500),
        "CD/preview.jpg": b"\xff\xd8\xff\xe0" + bytes(200),
        **others,
    }


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def staged(runtime: Runtime) -> list[Path]:
    """Everything that imports have on the disk."""
    return sorted((runtime.settings.spool_path / "imports").rglob("*"))


def uid(images: list[Any]) -> str:
    return str(images[0].StudyInstanceUID)


async def reviewed(
    runtime: Runtime, api: Api, up: Uploader, files: dict[str, bytes], **body: Any
) -> tuple[int, Any]:
    """An import in review, and the review."""
    import_id = await up.begin(**body)
    await up.upload(import_id, files)
    await up.finish(import_id)
    await read_all(runtime)
    return import_id, await api("GET", f"/imports/{import_id}/review", 200)


def codes(part: Any) -> set[str]:
    return {one["code"] for one in part["warnings"]}


async def nothing_is_left(runtime: Runtime) -> None:
    """Neither on the disk nor of names in the ledger."""
    assert staged(runtime) == []
    assert await rows(runtime, ImportFile) == await rows(runtime, ImportItem) == []
    for one in await rows(runtime, ImportStudy):
        assert not (one.patient_id or one.patient_name or one.patient_birth_date)
        assert not (one.accession_number or one.study_description or one.study_date)


async def one_image(
    runtime: Runtime, api: Api, up: Uploader, **project: Any
) -> tuple[int, dict[str, Any]]:
    """An import of one image in review, and the body that accepts it."""
    await api("POST", "/projects", 201, PROJECT | project)
    images = Maker(1, size=16).ct(1).instances
    import_id, _ = await reviewed(runtime, api, up, {"1": part10(images[0])})
    return import_id, {"studies": [uid(images)], "participant": "BICAM_001", "event": "v1"}


async def forget_claims(runtime: Runtime) -> None:
    async with runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Import)).values(claimed_until=None))
