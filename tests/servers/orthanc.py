"""Orthanc as a research PACS, to be asked over REST what it holds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers.common import free_port, missing, shared_server, start_guarded, wait_for

_BINARY = Path("/usr/sbin/Orthanc")
_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    @property
    def dicomweb(self) -> str:
        """Where its DICOMweb service is."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def get(self, path: str) -> Any:
        """Read a REST resource."""
        answer = self._request("GET", path)
        return answer.json()

    def find_instances(self, **query: str) -> list[dict[str, Any]]:
        """The instances whose tags match `query`, with their tags by keyword."""
        answer = self._request(
            "POST", "tools/find", json={"Level": "Instance", "Query": query, "Expand": True}
        )
        return answer.json()

    def file(self, orthanc_id: str) -> bytes:
        """The stored file of an instance."""
        return self._request("GET", f"instances/{orthanc_id}/file").content

    def send(self, method: str, path: str, content: bytes | list[Any] | dict[str, Any]) -> Any:
        """Send bytes or JSON to a REST resource; what it answers, if it does."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = self._request(method, path, content=body)
        return answer.json() if answer.content else None

    def delete_instance(self, orthanc_id: str) -> None:
        """Delete an instance, and what it was the last one of."""
        self._request("DELETE", f"instances/{orthanc_id}")

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = httpx.request(
            method, f"http://127.0.0.1:{self.http_port}/{path}", timeout=60, trust_env=False,
            **options,
        )  # fmt: skip
        return answer.raise_for_status()


def orthanc(root: Path) -> Orthanc:
    """The Orthanc of this test run."""
    if not _BINARY.exists() or not _DICOMWEB.exists():
        missing("Orthanc", "orthanc orthanc-dicomweb")
    ports = shared_server(root, "orthanc", lambda folder: _start(root, folder))
    return Orthanc(ports["dicom"], ports["http"])


def _start(root: Path, folder: Path) -> dict[str, int]:
    ports = {"dicom": free_port(), "http": free_port()}
    configuration = {
        "Name": "research-pacs", "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"), "HttpPort": ports["http"],
        "DicomPort": ports["dicom"], "DicomAet": "ORTHANC", "Plugins": [str(_DICOMWEB)],
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "DicomCheckCalledAet": True,
        "UnknownSopClassAccepted": True, "OverwriteInstances": True, "StorageCompression": False,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    start_guarded(root, [_BINARY, folder / "orthanc.json"], folder / "server.log")
    running = Orthanc(ports["dicom"], ports["http"])
    wait_for(lambda: _up(running), "Orthanc")
    return ports


def _up(running: Orthanc) -> bool:
    try:
        return bool(running.get("system"))
    except httpx.TransportError:
        return False
