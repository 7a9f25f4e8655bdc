"""Several receiver processes on one port: where one core is full, another takes associations.

Python runs one association's code at a time; the system hands each new connection to one of the
processes that share the port (SO_REUSEPORT). Each is a whole `sluse receiver`.
"""

import asyncio
import math
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

from services.receiver.listener import bound
from services.receiver.tls import Certificates
from shared import telemetry
from shared.errors import StartError
from shared.settings import Settings

log = telemetry.logger("receiver")

_COMMAND = (sys.executable, "-c", "from services.cli import app; app()", "receiver")
_PAUSE = 1.0  # seconds before a process is started again
_PATIENCE = 20.0  # seconds for a process to end when it is asked to


async def supervise(
    settings: Settings, stop: asyncio.Event, opened: Callable[[str, int], None]
) -> None:
    """Run `settings.receiver_processes` receivers until `stop` is set; each is started again.

    Raises
    ------
    StartError
        A port or a certificate can't be used.
    """
    if settings.bus_url.get_secret_value().startswith("memory:"):
        raise StartError(
            "SLUSE_RECEIVER_PROCESSES is for `sluse receiver`; `sluse up` is one process"
        )
    with ExitStack() as reserved:
        common = {
            "SLUSE_RECEIVER_PROCESSES": "1",
            "SLUSE_RECEIVER_PARENT": str(os.getpid()),
            "SLUSE_DICOM_PORT_SHARED": "true",
            "SLUSE_MAX_ASSOCIATIONS": _share(settings, settings.max_associations),
            "SLUSE_MAX_ASSOCIATIONS_PER_PEER": _share(settings, settings.max_associations_per_peer),
        }
        port = _reserve(reserved, settings, settings.dicom_port, "DICOM_PORT")
        common["SLUSE_DICOM_PORT"] = str(port)
        if settings.dicom_tls_port is not None:
            Certificates(settings)
            tls_port = _reserve(reserved, settings, settings.dicom_tls_port, "DICOM_TLS_PORT")
            common["SLUSE_DICOM_TLS_PORT"] = str(tls_port)
        opened("DICOM", port)
        async with asyncio.TaskGroup() as team:
            for number in range(1, settings.receiver_processes + 1):
                metrics = settings.metrics_port and settings.metrics_port + number
                team.create_task(_keep(common | {"SLUSE_METRICS_PORT": str(metrics)}, stop))


async def end_with(parent: int, stop: asyncio.Event) -> None:
    """Set `stop` when the process `parent`, which started this one, is no more."""
    while os.getppid() == parent:  # noqa: ASYNC110 nobody tells
        await asyncio.sleep(_PAUSE)
    stop.set()


async def _keep(environment: dict[str, str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(*_COMMAND, env=os.environ | environment)
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await _end(process)
            return
        stopped.cancel()
        log.error("a receiver process has ended; another takes its place", code=ended.result())
        await asyncio.sleep(_PAUSE)


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _reserve(reserved: ExitStack, settings: Settings, port: int, knob: str) -> int:
    """Hold a port for the processes, without listening: it stays ours while they restart."""
    holder: socket.socket = reserved.enter_context(bound(settings, port, knob, shared=True))
    number: int = holder.getsockname()[1]
    return number


def _share(settings: Settings, limit: int) -> str:
    return str(math.ceil(limit / settings.receiver_processes))
