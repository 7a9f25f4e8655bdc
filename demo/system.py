"""Starts Sluse as its users do, and talks to it over its REST API."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

_START_SECONDS = 60


def free_port() -> int:
    """A port on this machine that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class System:
    """`sluse up` in a process of its own, over a folder."""

    def __init__(self, data: Path) -> None:
        self.dicom_port, self.http_port = free_port(), free_port()
        self.log = data / "sluse.log"
        data.mkdir(parents=True, exist_ok=True)
        command = [Path(sys.executable).with_name("sluse"), "up", "--data", data]
        command += ["--dicom-port", str(self.dicom_port), "--http-port", str(self.http_port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdout=log,
                stderr=log,
                env=os.environ | {"SLUSE_DICOM_HOST": "127.0.0.1", "SLUSE_VERIFY_AFTER": "0.5"},
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.http_port}/api/v1", timeout=30, trust_env=False
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.client.get(f"http://127.0.0.1:{self.http_port}/readyz").is_success:
                    self._wait_for_dicom()
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"Sluse did not start:\n{self.log.read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.client.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def get(self, path: str, **query: Any) -> Any:
        """Read a resource."""
        return self._body(self.client.get(path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        """Create a resource."""
        return self._body(self.client.post(path, json=body))

    def _body(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise RuntimeError(f"{answer.request.url.path}: {answer.text}")
        return answer.json()

    def _wait_for_dicom(self) -> None:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.dicom_port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
