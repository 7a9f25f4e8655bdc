"""What `sluse up` does around the services: one folder for everything, and one owner of it."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from shared.errors import StartError
from shared.runtime import KEEP_THE_KEY
from shared.settings import Settings, embedded


def keep_private() -> None:
    """Let nobody else on the machine read what this process writes."""
    os.umask(0o077)


def settings(data: Path, dicom_port: int | None, http_port: int | None) -> Settings:
    """The settings over the folder `data`; ports that are None come from the environment.

    Raises
    ------
    ValidationError
        One of them can't be used.
    """
    ports = {"dicom_port": dicom_port, "http_port": http_port}
    knobs: dict[str, object] = {name: port for name, port in ports.items() if port is not None}
    if sys.stderr.isatty() and "SLUSE_LOG_FORMAT" not in os.environ:
        knobs["log_format"] = "text"
    return embedded(data, **knobs)


@contextmanager
def own(data: Path) -> Iterator[None]:
    """Make the folder `data` where needed, and be the only Sluse on it.

    The lock goes with the process, however it ends.

    Raises
    ------
    StartError
        The folder can't be used, or another Sluse runs on it.
    """
    keep_private()
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / "sluse.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(f"the folder {data} can't be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"another Sluse is running on the folder {data}") from None
    else:
        yield
    finally:
        os.close(descriptor)


class Doors:
    """Says where everything is once all of it is open."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self._ae_title, self._data = settings.ae_title, data.resolve()
        self._ports: dict[str, int] = {}
        self._key = settings.master_key_file.resolve() if settings.makes_master_key else None

    def opened(self, door: str, port: int) -> None:
        """A service listens."""
        self._ports[door] = port
        if len(self._ports) < 2:
            return
        page = f"http://127.0.0.1:{self._ports['HTTP']}"
        typer.echo(
            f"Sluse is running; its data is in {self._data}\n"
            f"  web page   {page}/\n"
            f"  REST API   {page}/docs\n"
            f"  DICOM      AE title {self._ae_title}, port {self._ports['DICOM']}\n"
            f"Ctrl-C stops it; whatever is unfinished goes on at the next start."
        )
        if self._key is not None:
            typer.echo(f"{KEEP_THE_KEY}.\n  master key {self._key}")
