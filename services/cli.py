"""The `sluse` command: each service by its name, all of them together, and the upkeep."""

import asyncio
import importlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from shared import telemetry
from shared.errors import Retry
from shared.identity import MasterKey, MasterKeyError
from shared.ledger import Ledger
from shared.ledger.schema import SchemaError, migrate
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings, embedded

SERVICES = ("receiver", "classifier", "anonymizer", "forwarder", "api")

app = typer.Typer(
    help="Sluse: a research-PACS gateway.", no_args_is_help=True, pretty_exceptions_enable=False
)


def _settings(**knobs: object) -> Settings:
    try:
        return Settings.model_validate(Settings().model_dump(exclude_unset=True) | knobs)
    except ValidationError as error:
        sys.exit(_explain(error))


def _explain(error: ValidationError) -> str:
    lines = [
        f"SLUSE_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()
    ]
    return "These settings can't be used:\n  " + "\n  ".join(lines)


async def _run(settings: Settings, services: tuple[str, ...], *, migrating: bool = False) -> None:
    """Run services until a signal asks them to stop, or one of them fails."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    name = services[0] if len(services) == 1 else "sluse"
    async with (
        open_runtime(settings, name, migrating=migrating) as runtime,
        asyncio.TaskGroup() as group,
    ):
        for service in services:
            group.create_task(_run_one(service, runtime, stop), name=service)


async def _run_one(service: str, runtime: Runtime, stop: asyncio.Event) -> None:
    # Imported when needed: an image of one service has only that service's packages.
    module = importlib.import_module(f"services.{service}.main")
    await module.run(runtime, stop)


def _start(settings: Settings, services: tuple[str, ...], *, migrating: bool = False) -> None:
    telemetry.configure_logging(settings)
    try:
        asyncio.run(_run(settings, services, migrating=migrating))
    except* (SchemaError, MasterKeyError, Retry, OSError) as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        text = first.reason.in_words if isinstance(first, Retry) else first
        sys.exit(f"Sluse stopped: {text}")


def _service_command(service: str) -> None:
    def command() -> None:
        settings = _settings()
        if service != "api":
            telemetry.serve_metrics(settings)
        _start(settings, (service,))

    summary = importlib.import_module(f"services.{service}").__doc__ or ""
    app.command(service, help=f"Run the {summary.splitlines()[0]}")(command)


for _service in SERVICES:
    _service_command(_service)


@app.command("up")
def up(
    data: Annotated[Path, typer.Option(help="Folder of database, spool and key.")] = Path("data"),
    dicom_port: Annotated[int, typer.Option(help="Port for DICOM.")] = 11112,
    http_port: Annotated[int, typer.Option(help="Port for the web page and the REST API.")] = 8080,
) -> None:
    """Run all five services on this machine, with nothing else installed."""
    data.mkdir(parents=True, exist_ok=True)
    try:
        settings = embedded(data, dicom_port=dicom_port, http_port=http_port)
    except ValidationError as error:
        sys.exit(_explain(error))
    typer.echo(
        f"Sluse is starting; its data is in {data.resolve()}\n"
        f"  web page   http://127.0.0.1:{http_port}/\n"
        f"  REST API   http://127.0.0.1:{http_port}/docs\n"
        f"  DICOM      AE title {settings.ae_title}, port {dicom_port}\n"
        f"Ctrl-C stops it; whatever is unfinished goes on at the next start."
    )
    _start(settings, SERVICES, migrating=True)


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date."""
    settings = _settings()

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


@app.command("new-master-key")
def new_master_key() -> None:
    """Print a new master key, for SLUSE_MASTER_KEY or its file. Keep a copy in a safe place."""
    typer.echo(MasterKey.generate())
