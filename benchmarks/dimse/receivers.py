"""Those that take images: each runs in a process of its own, and is asked what it holds."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from demo.system import free_port

SLUSE = Path(sys.executable).with_name("sluse")
_LUA = """
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin['RequestOrigin'] ~= 'Lua' then
    local replace = { PatientName = 'P', InstitutionName = 'BENCH', StationName = 'BENCH' }
    local remove = { 'PatientBirthDate', 'ReferringPhysicianName', 'OperatorsName' }
    local modified = ModifyInstance(instanceId, replace, remove, false)
    Delete(SendToModality(modified, 'sink'))
  end
end
"""


class Receiver(ABC):
    """Something that listens for associations."""

    name: str
    called: str

    def __init__(self) -> None:
        self.port = free_port()
        self.pid = 0

    @abstractmethod
    def command(self, folder: Path) -> list[str]:
        """How it is started, with `folder` to write into."""

    @abstractmethod
    def held(self, folder: Path) -> int:
        """How many images it has now."""

    def environment(self, folder: Path) -> dict[str, str]:
        """Its environment variables."""
        # dcmtk, and Orthanc with it, wait 40 ms for every answer otherwise.
        return os.environ | {"TCP_NODELAY": "1"}

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """Listen until the block ends."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(folder), stdout=log, stderr=log, env=self.environment(folder)
            )
        self.pid = process.pid
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                time.sleep(0.5)
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not listen")


class Storescp(Receiver):
    """dcmtk's, a process for each association: the copy by two C++ programs, the ceiling."""

    name, called = "dcmtk storescp", "STORESCP"

    def command(self, folder: Path) -> list[str]:
        return ["storescp", "--fork", "--max-pdu", "131072", "--aetitle", self.called,
                "--output-directory", str(folder), str(self.port)]  # fmt: skip

    def held(self, folder: Path) -> int:
        return sum(1 for _ in folder.iterdir())


class Orthanc(Receiver):
    """Orthanc with its default storage, which is synced."""

    name, called = "Orthanc", "ORTHANC"

    def __init__(self, sink: Receiver | None = None) -> None:
        super().__init__()
        self._http, self._sink = free_port(), sink
        if sink:
            self.name = "Orthanc: receive, modify, forward"

    def command(self, folder: Path) -> list[str]:
        configuration = {
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "HttpPort": self._http, "DicomPort": self.port, "DicomAet": self.called, "Plugins": [],
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False,
        }  # fmt: skip
        if self._sink:
            (folder / "route.lua").write_text(_LUA)
            place = [self._sink.called, "127.0.0.1", self._sink.port]
            configuration |= {"LuaScripts": [str(folder / "route.lua")],
                              "DicomModalities": {"sink": place}}  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        return ["/usr/sbin/Orthanc", str(folder / "orthanc.json")]

    def held(self, folder: Path) -> int:
        answer = httpx.get(f"http://127.0.0.1:{self._http}/statistics", trust_env=False, timeout=60)
        return int(answer.json()["CountInstances"])


class Pynetdicom(Receiver):
    """pynetdicom's own application."""

    name, called = "pynetdicom storescp", "STORESCP"

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "pynetdicom", "storescp", "--quiet",
                "--ae-title", self.called, "--max-pdu", "131072",
                "--output-directory", str(folder), str(self.port)]  # fmt: skip

    def held(self, folder: Path) -> int:
        return sum(1 for _ in folder.iterdir())


class SluseReceiver(Receiver):
    """`sluse receiver` with RabbitMQ and PostgreSQL; every image synced before it is answered."""

    name, called = "Sluse receiver", "SLUSE"

    def __init__(self, knobs: dict[str, str]) -> None:
        super().__init__()
        self._knobs = knobs

    def command(self, folder: Path) -> list[str]:
        return [str(SLUSE), "receiver"]

    def environment(self, folder: Path) -> dict[str, str]:
        return self._knobs | {
            "SLUSE_SPOOL_URL": (folder / "spool").as_uri(),
            "SLUSE_DICOM_HOST": "127.0.0.1",
            "SLUSE_DICOM_PORT": str(self.port),
            "SLUSE_LOG_LEVEL": "WARNING",
        }

    def held(self, folder: Path) -> int:
        return sum(1 for _ in (folder / "spool" / "inbox").glob("*/*.dcm"))
