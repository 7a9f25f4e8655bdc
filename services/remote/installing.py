"""Adds these commands to `sluse`; nothing of what they need is imported before one is run."""

import typer

from services.remote import entries, importing, overview, transfers
from services.remote.session import command


def install(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "status")(overview.status)
    command(app, "import")(importing.import_files)
    for name, group in (
        ("projects", entries.projects),
        ("destinations", entries.destinations),
        ("peers", entries.peers),
        ("rules", entries.rules),
        ("coupling-list", entries.coupling_list),
        ("studies", overview.studies),
        ("transfers", transfers.transfers),
        ("dead-letters", overview.dead_letters),
    ):
        app.add_typer(group, name=name)
