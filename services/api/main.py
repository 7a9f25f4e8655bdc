"""Wires the api: HTTP server and dead-letter consumer."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn

from services.api.app import create_app
from services.api.consumer import DeadConsumer
from shared import telemetry
from shared.runtime import Runtime

log = telemetry.logger("api")


class _Server(uvicorn.Server):
    """Leaves the signals to the command that runs the services."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    settings = runtime.settings
    listening = socket.create_server((settings.http_host, settings.http_port))
    config = uvicorn.Config(
        create_app(runtime),
        access_log=False,  # paths name internal ids only, but queries may hold received UIDs
        log_config=None,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    server = _Server(config)
    async with runtime.bus.consuming(DeadConsumer(runtime.ledger)):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()
        await serving
    if not stop.is_set():
        raise RuntimeError("the web server ended by itself")
