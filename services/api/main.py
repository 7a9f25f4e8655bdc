"""Wires the api: HTTP server, dead-letter consumer, the worker on imports, what tells webhooks,
what deletes previews,
what counts the backlog.
"""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn

from services.api.app import create_app
from services.api.consumer import DeadConsumer
from services.api.imports.worker import Worker
from services.api.sweeping import sweep
from services.api.webhooks.sending import Sender
from shared.errors import StartError
from shared.runtime import Runtime
from shared.settings import Settings


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.http_host, settings.http_port))
    except OSError as error:
        raise StartError(
            f"port {settings.http_port} for the web page can't be used: {error.strerror}. "
            "Choose another with SLUSE_HTTP_PORT (`sluse up --http-port`)"
        ) from None


class _Server(uvicorn.Server):
    """Leaves the signals to the command that runs the services."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    listening = _listen(runtime.settings)
    # Now rather than when the first project is entered: without its key nothing can go on.
    await runtime.load_master_key()
    app = create_app(runtime)
    config = uvicorn.Config(
        app,
        access_log=False,  # paths name internal ids only, but queries may hold received UIDs
        log_config=None,
        lifespan="off",  # nothing to do there, and its errors are logged with their texts
        timeout_graceful_shutdown=5,
        server_header=False,
        forwarded_allow_ips=list(runtime.settings.trusted_proxies),
    )
    server = _Server(config)
    async with runtime.bus.consuming(DeadConsumer(runtime.ledger)):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        runtime.opened("HTTP", listening.getsockname()[1])
        importing = asyncio.create_task(Worker(runtime).run())
        stopping = asyncio.create_task(stop.wait())
        telling = asyncio.create_task(Sender(runtime).run())
        sweeping = asyncio.create_task(sweep(runtime))
        watching = asyncio.create_task(runtime.pressure.watch(runtime.ledger, runtime.spool))
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            app.state.live.close()
            stopping.cancel()
            importing.cancel()
            telling.cancel()
            sweeping.cancel()
            watching.cancel()
            try:
                await serving
            finally:
                await asyncio.to_thread(app.state.drawing.renderer.close)
                await asyncio.gather(importing, return_exceptions=True)
    if not stop.is_set():
        raise RuntimeError("the web server ended by itself")
