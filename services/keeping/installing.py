"""Enters the commands of the keeping into the `sluse` command; what they need is imported later."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.settings import Settings

_Data = Annotated[
    Path | None,
    typer.Option(help="Folder of `sluse up`; otherwise what the settings name (SLUSE_…)."),
]


def install(app: typer.Typer) -> None:
    """Enter them."""
    app.command("backup")(_backup)
    app.command("restore")(_restore)
    app.command("doctor")(_doctor)
    app.command("key-is-kept")(_key_is_kept)
    app.command("rotate-master-key")(_rotate_master_key)


def _backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder to make.")],
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Also the master key: then keep it like the key.")
    ] = False,
    with_spool: Annotated[
        bool, typer.Option("--with-spool", help="Also the image files, each checked.")
    ] = False,
    linked: Annotated[
        bool,
        typer.Option(
            "--linked", help="Files as further names of the same ones, on the spool's own disk."
        ),
    ] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="To be restored into PostgreSQL or SQLite alike.")
    ] = False,
    data: _Data = None,
) -> None:
    """Make a backup while Sluse runs: the database, a list of the spool, and what is asked for."""
    from services.keeping import backing_up, command

    wishes = backing_up.Wishes(
        with_key=with_key, with_spool=with_spool or linked, linked=linked, portable=portable
    )
    command.back_up(_settings(data), folder, wishes)


def _restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A backup.")],
    over: Annotated[
        bool,
        typer.Option("--over-what-is-there", help="Replace a database that is not empty."),
    ] = False,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Put its master key here, where there is none.")
    ] = False,
    data: _Data = None,
) -> None:
    """Put a backup back, with all services stopped, and make ledger and spool agree again."""
    from services.keeping import command

    command.restore(_settings(data), folder, over=over, with_key=with_key)


def _doctor(
    every: Annotated[
        bool, typer.Option("--all", help="Read every original and open every secret.")
    ] = False,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what can be without a loss.")] = False,
    stuck_hours: Annotated[
        float, typer.Option(min=0, help="From when on work counts as stuck, hours.")
    ] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data: _Data = None,
) -> None:
    """Check the installation, and the ledger beside the spool; exit code 1: something is wrong."""
    from services.keeping import command
    from services.keeping.doctor.examining import Wishes

    wishes = Wishes(every=every, mend=mend, stuck_hours=stuck_hours)
    command.examine(_settings(data), wishes, as_json=as_json)


def _key_is_kept(data: _Data = None) -> None:
    """Say that a copy of the master key is kept in a safe place, so that nobody is asked again."""
    from services.keeping import command

    command.key_is_kept(_settings(data))


def _rotate_master_key(
    into: Annotated[
        Path | None,
        typer.Option(help="File for the new key, where the old one's is not Sluse's to change."),
    ] = None,
    data: _Data = None,
) -> None:
    """Bring everything under a new master key, with all services stopped."""
    from services.keeping import command

    command.rotate(_settings(data), into)


def _settings(data: Path | None) -> "Settings":
    from services import running, standalone

    standalone.keep_private()
    return running.settings_over(data)
