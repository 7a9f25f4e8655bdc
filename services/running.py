"""Runs the services: one of them, or all together, until a signal asks them to stop."""

import asyncio
import importlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from services import SERVICES, standalone
from shared import faults, telemetry
from shared.errors import Retry, StartError
from shared.ledger import Ledger
from shared.ledger.schema import migrate
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings

log = telemetry.logger("running")

_LAST_WORDS = 1.0  # seconds for what is left when the services have ended


def run_one(service: str) -> None:
    """Run one service in this process."""
    settings = _settings()
    if settings.bus_url.get_secret_value().startswith("memory:"):
        sys.exit(
            f"The {service} on its own needs a broker to meet the others: set SLUSE_BUS_URL to "
            "amqp://user:password@host/vhost. `sluse up` runs all services without one."
        )
    standalone.keep_private()
    if service != "api":
        try:
            telemetry.serve_metrics(settings)
        except StartError as error:
            sys.exit(f"Sluse stopped: {error}")
    _start(settings, (service,))


def run_all(data: Path, dicom_port: int | None, http_port: int | None) -> None:
    """Run all services in this process, over the folder `data`; None takes a port as set."""
    try:
        settings = standalone.settings(data, dicom_port, http_port)
        with standalone.own(data):
            doors = standalone.Doors(settings, data)
            _start(settings, SERVICES, migrating=True, opened=doors.opened)
    except ValidationError as error:
        sys.exit(_explain(error, {"dicom_port": "--dicom-port", "http_port": "--http-port"}))
    except StartError as error:
        sys.exit(f"Sluse stopped: {error}")
    typer.echo("Sluse has stopped. Whatever is unfinished goes on at the next start.")


def bring_up_to_date() -> None:
    """Migrate the database's schema."""
    settings = _settings()
    telemetry.configure_logging(settings)
    standalone.keep_private()

    async def run() -> None:
        ledger = Ledger(settings)
        try:
            await migrate(ledger)
        finally:
            await ledger.close()

    try:
        asyncio.run(run())
    except (Retry, OSError) as error:
        sys.exit(f"The database could not be migrated: {error}")
    typer.echo("The database is up to date.")


def settings_over(data: Path | None) -> Settings:
    """The settings of a command: over the folder of `sluse up`, or as the environment has them."""
    if data is None:
        return _settings()
    if not data.is_dir():
        sys.exit(f"There is no folder {data}.")
    try:
        return standalone.settings(data, None, None)
    except ValidationError as error:
        sys.exit(_explain(error))


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        sys.exit(_explain(error))


def _explain(error: ValidationError, options: Mapping[str, str] | None = None) -> str:
    """What is wrong with which setting; `options` names those that came from the command line."""
    lines = []
    for one in error.errors():
        knob = "_".join(map(str, one["loc"]))
        name = (options or {}).get(knob, f"SLUSE_{knob.upper()}")
        lines.append(f"{name}: {one['msg'].removeprefix('Value error, ')}")
    return "These settings can't be used:\n  " + "\n  ".join(lines)


async def _run(settings: Settings, services: tuple[str, ...], **how: Any) -> None:
    """Run services until a signal asks them to stop, or one of them fails."""
    name = services[0] if len(services) == 1 else "sluse"
    try:
        async with open_runtime(settings, name, **how) as runtime:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signal_number, stop.set)
            async with asyncio.TaskGroup() as group:
                group.create_task(runtime.stay_present(stop), name="presence")
                for service in services:
                    group.create_task(_serve(service, runtime, stop), name=service)
    finally:
        await _end_what_is_left()


async def _end_what_is_left() -> None:
    """Cancel tasks that outlive the services.

    Where a query is cancelled, SQLAlchemy may leave a task behind that closes a connection to
    SQLite whose thread has ended. aiosqlite's `close` waits for that thread a second time when it
    is cancelled, so it takes two: one here, and the one of `asyncio.run`, which would wait for ever
    after the first.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_LAST_WORDS)


async def _serve(service: str, runtime: Runtime, stop: asyncio.Event) -> None:
    # Imported when needed: an image of one service has only that service's packages.
    module = importlib.import_module(f"services.{service}.main")
    await module.run(runtime, stop)


def _start(settings: Settings, services: tuple[str, ...], **how: Any) -> None:
    telemetry.configure_logging(settings)
    if settings.fault:
        log.critical("this process will end itself: SLUSE_FAULT is set, which is for tests only")
        faults.arm(settings.fault)
    try:
        asyncio.run(_run(settings, services, **how))
    except* KeyboardInterrupt:  # before there was anything to stop
        sys.exit(130)
    except* (StartError, Retry, OSError) as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        text = f"{first.reason.in_words} ({first.detail})" if isinstance(first, Retry) else first
        sys.exit(f"Sluse stopped: {text}")
