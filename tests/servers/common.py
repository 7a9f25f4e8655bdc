"""Starts a server once for all workers of a test run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from demo.system import free_port

__all__ = ["free_port", "missing", "shared_server", "start_guarded", "stop_all", "wait_for"]


def missing(what: str, package: str) -> None:
    """Skip the test because a part is not on this machine; with CI=true that is a failure."""
    text = f"{what} is not on this machine (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def shared_server(root: Path, name: str, start: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What `start` returned, for the first worker that asks; the others get the same."""
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        note = folder / "server.json"
        if not note.exists():
            folder.mkdir(exist_ok=True)
            note.write_text(json.dumps(start(folder)))
        return json.loads(note.read_text())


def start_guarded(
    root: Path,
    command: list[str | Path],
    log: Path,
    env: dict[str, str] | None = None,
    remove: Path | str = "-",
) -> int:
    """Start `command` so that it ends with the test run; the guard's process id.

    Parameters
    ----------
    remove
        A folder to be removed when the server has ended.
    """
    owner = int((root / "owner").read_text())
    with log.open("ab") as output:
        guard = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.servers.guard",
                str(owner),
                str(remove),
                *map(str, command),
            ],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=env,
        )
    with (root / "guards").open("a") as guards:
        guards.write(f"{guard.pid}\n")
    return guard.pid


def stop_all(root: Path) -> None:
    """Stop every guarded server of the run."""
    guards = root / "guards"
    pids = [int(line) for line in guards.read_text().split()] if guards.exists() else []
    # The last one started may need the first one: stop it first.
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and any(map(_runs, pids)):
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists()


def wait_for(
    condition: Callable[[], Any], what: str, seconds: float = 60, pause: float = 0.1
) -> Any:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (OSError, RuntimeError) as error:
            found, last = None, error
        else:
            last = None
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}") from last
        time.sleep(pause)
