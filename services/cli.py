"""The `sluse` command: each service by its name, all of them together, the upkeep, and what
speaks to a running Sluse over its REST API (`services.remote`).

What a command needs is imported when it is run: an image of one service has only that one's
packages, and `sluse deidentify` does not wait for those of a database.
"""

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from services import SERVICES
from services.anonymizer import command
from services.keeping import installing as keeping
from services.remote import installing

app = typer.Typer(
    help="Sluse: a research-PACS gateway.", no_args_is_help=True, pretty_exceptions_enable=False
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sluse {version('sluse')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Sluse: a research-PACS gateway."""


def _service_command(service: str) -> None:
    def run() -> None:
        from services.running import run_one

        run_one(service)

    summary = importlib.import_module(f"services.{service}").__doc__ or ""
    app.command(service, help=f"Run the {summary.splitlines()[0]}")(run)


for _service in SERVICES:
    _service_command(_service)


@app.command("up")
def up(
    data: Annotated[Path, typer.Option(help="Folder of database, spool and key.")] = Path("data"),
    dicom_port: Annotated[
        int | None, typer.Option(help="Port for DICOM.", show_default="11112")
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(help="Port for the web page and the REST API.", show_default="8080"),
    ] = None,
) -> None:
    """Run all five services on this machine, with nothing else installed."""
    from services.running import run_all

    run_all(data, dicom_port, http_port)


app.command("deidentify", cls=command.Command)(command.deidentify)


installing.install(app)
keeping.install(app)


account = typer.Typer(help="People who sign in, entered on this machine.", no_args_is_help=True)
app.add_typer(account, name="account")
_Data = Annotated[
    Path | None, typer.Option(help="Folder of `sluse up`; otherwise the settings' database.")
]
_Password = Annotated[
    str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="PASSWORD")
]


@account.command("add")
def add_account(
    username: str,
    password: _Password,
    name: Annotated[str, typer.Option(help="What the person is called.")] = "",
    administrator: Annotated[bool, typer.Option(help="May administer Sluse.")] = False,
    operator: Annotated[bool, typer.Option(help="Sees to it that Sluse runs.")] = False,
    data: _Data = None,
) -> None:
    """Enter a person. The first one is an administrator; from then on everybody signs in."""
    from services import accounts
    from shared.people import SystemRole

    role = SystemRole.OPERATOR if operator else SystemRole.NONE
    accounts.add(
        username, name, password, SystemRole.ADMINISTRATOR if administrator else role, data
    )


@account.command("password")
def give_password(username: str, password: _Password, data: _Data = None) -> None:
    """Give a person another password; their sessions end."""
    from services import accounts

    accounts.give_password(username, password, data)


@app.command("migrate")
def migrate() -> None:
    """Bring the database's schema up to date."""
    from services.running import bring_up_to_date

    bring_up_to_date()


@app.command("new-master-key")
def new_master_key() -> None:
    """Print a new master key, for SLUSE_MASTER_KEY or its file. Keep a copy in a safe place."""
    from shared.identity import MasterKey

    typer.echo(MasterKey.generate())
