"""`sluse projects`, `destinations`, `peers`, `rules`, `coupling-list`: what people enter."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.remote.overview import Most
from services.remote.session import Session, command, say

if TYPE_CHECKING:
    from sluse_client import models

projects = typer.Typer(help="Research projects.", no_args_is_help=True)
destinations = typer.Typer(help="Research PACS.", no_args_is_help=True)
peers = typer.Typer(help="Senders that are let in.", no_args_is_help=True)
rules = typer.Typer(help="Routing rules.", no_args_is_help=True)
coupling_list = typer.Typer(
    help="Which original identity is which participant.", no_args_is_help=True
)

_Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number.")]
_SHIFT = "date_shift_days"  # with it dates can be moved back
_TYPES = {
    ".csv": "text/csv",
    ".txt": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@command(projects, "list")
def list_projects(session: Session) -> None:
    """List the projects that you work in."""
    from services.remote import showing

    columns: showing.Columns[models.ProjectRead] = {
        "CODE": lambda one: one.code,
        "NUMBER": lambda one: one.number,
        "STATE": lambda one: one.state,
        "DESTINATION": lambda one: one.destination_id,
        "APPROVED UNTIL": lambda one: one.rek_end,
        "TITLE": lambda one: one.title,
    }
    showing.rows(session, session.client.list_projects(), columns, without=(_SHIFT,))


@command(projects, "show")
def show_project(
    session: Session, code: Annotated[str, typer.Argument(help="The project's code.")]
) -> None:
    """Show one project."""
    from services.remote import showing

    found = session.client.read_project(code)
    fields = {
        "Code": found.code,
        "Number": found.number,
        "Title": found.title,
        "State": found.state,
        "Principal investigator": found.principal_investigator,
        "REK approval": found.rek_number,
        "Approved from": found.rek_start,
        "Approved until": found.rek_end,
        "Participant ids": found.participant_pattern,
        "Events": found.events,
        "Sites": found.sites,
        "Destination": found.destination_id,
        "Identifiers": found.identifier_scheme,
        "Profile of its own": bool(found.profile),
    }
    showing.one(session, found, fields, _SHIFT)


@command(destinations, "list")
def list_destinations(session: Session) -> None:
    """List all destinations."""
    from services.remote import showing

    columns: showing.Columns[models.DestinationRead] = {
        "ID": lambda one: one.id,
        "NAME": lambda one: one.name,
        "PROTOCOL": lambda one: one.protocol,
        "ADDRESS": lambda one: one.url or f"{one.ae_title} at {one.host}:{one.port}",
        "TLS": lambda one: one.tls or one.url.startswith("https:"),
        "HOURS": lambda one: one.hours or "always",
        "VERIFICATION": lambda one: one.verification,
    }
    showing.rows(session, session.client.list_destinations(), columns)


@command(destinations, "echo")
def echo_destination(session: Session, number: _Id) -> None:
    """Ask a destination whether it answers. Exit code 1 if it does not."""
    from services.remote import showing

    echo = session.client.echo_destination(number)
    fields = {
        "Answers": echo.answers, "Detail": echo.detail, "Took": f"{echo.milliseconds} ms",
    }  # fmt: skip
    showing.one(session, echo, fields)
    if not echo.answers:
        raise typer.Exit(1)


@command(peers, "list")
def list_peers(session: Session) -> None:
    """List the senders that are let in."""
    _show_peers(session, session.client.list_peers())


@command(peers, "add")
def add_peer(
    session: Session,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    aet: Annotated[str | None, typer.Option(help="Its own AE title; any if left out.")] = None,
    addresses: Annotated[
        str | None, typer.Option(help="The address or network that it sends from.")
    ] = None,
    report_host: Annotated[
        str | None, typer.Option(help="Where reports of storage commitment go.")
    ] = None,
    report_port: Annotated[int | None, typer.Option(help="The port there.")] = None,
) -> None:
    """Enter a sender. One with a user name and password is entered over REST."""
    from sluse_client import models

    given = {
        "calling_aet": aet, "addresses": addresses, "report_host": report_host,
        "report_port": report_port,
    }  # fmt: skip
    body = models.PeerWrite.model_validate(
        {"name": name} | {key: value for key, value in given.items() if value is not None}
    )
    _show_peers(session, [session.client.create_peer(body)])


def _show_peers(session: Session, found: "list[models.PeerRead]") -> None:
    from services.remote import showing

    columns: showing.Columns[models.PeerRead] = {
        "ID": lambda one: one.id,
        "NAME": lambda one: one.name,
        "AE TITLE": lambda one: one.calling_aet or "any",
        "ADDRESSES": lambda one: one.addresses or "any",
        "USER NAME": lambda one: one.username,
        "LET IN": lambda one: one.enabled,
    }
    showing.rows(session, found, columns)


@command(rules, "list")
def list_rules(session: Session) -> None:
    """List the rules in the order in which they are tried."""
    from services.remote import showing

    columns: showing.Columns[models.RoutingRuleRead] = {
        "ID": lambda one: one.id,
        "NAME": lambda one: one.name,
        "ON": lambda one: one.enabled,
        "PRIORITY": lambda one: one.priority,
        "CALLED AE": lambda one: one.called_aet,
        "CALLING AE": lambda one: one.calling_aet,
        "TRUSTED": lambda one: one.trusted,
        "PROJECT": lambda one: one.project,
        "EVENT": lambda one: one.event,
    }
    showing.rows(session, session.client.list_routing_rules(), columns)


@command(rules, "try")
def try_rule(
    session: Session,
    number: _Id,
    takes: Annotated[
        bool | None, typer.Option("--takes/--others", help="Only what it would take.")
    ] = None,
    most: Most = 100,
) -> None:
    """Say which studies that are here a rule would take, and why not the others."""
    from services.remote import showing
    from sluse_client import every

    columns: showing.Columns[models.Tried] = {
        "STUDY": lambda one: one.study_id,
        "TAKES": lambda one: one.takes,
        "MEETS": lambda one: one.met,
        "AGAINST": lambda one: one.against,
    }
    found = every(session.client.try_routing_rule, number, takes=takes)
    showing.rows(session, found, columns, most=most)


@command(rules, "apply")
def apply_rule(session: Session, number: _Id) -> None:
    """Apply a rule to what is here already."""
    from services.remote import showing

    applied = session.client.apply_routing_rule(number)
    fields = {"Studies taken": applied.taken, "Studies not taken": applied.refused}
    showing.one(session, applied, fields)


@command(coupling_list, "upload")
def upload(
    session: Session,
    project: Annotated[str, typer.Argument(help="The project's code.")],
    file: Annotated[Path, typer.Argument(help="CSV or Excel.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option(help="Only say what would come of it.")] = False,
    partial: Annotated[bool, typer.Option(help="Take the right rows, leave the wrong.")] = False,
) -> None:
    """Upload a list. Nothing is taken while a row is wrong, unless `--partial`."""
    from services.remote import showing

    kind = _TYPES.get(file.suffix.lower())
    if kind is None:
        raise typer.BadParameter("a .csv or an .xlsx, please", param_hint="FILE")
    try:
        content = file.read_bytes()
    except OSError as error:
        sys.exit(f"The file can't be read: {error}")
    report = session.client.upload_coupling_list(
        project, content, content_type=kind, dry_run=dry_run, partial=partial
    )
    fields = {
        "Taken": report.stored, "Read as": report.form, "Rows": report.rows, "New": report.new,
        "Changed": report.changed, "Unchanged": report.unchanged, "Wrong": report.wrong,
        "Studies here": report.studies.matching, "Taken now": report.studies.taken,
        "Taken before": report.studies.already, "Not taken": report.studies.refused,
    }  # fmt: skip
    showing.one(session, report, fields)
    if not session.as_json:
        for title, remarks in (("Wrong", report.problems), ("Look again", report.warnings)):
            if remarks:
                typer.echo(f"\n{title}")
                lines = [[remark.row, remark.column, remark.message] for remark in remarks]
                showing.table(["ROW", "COLUMN", "WHAT"], lines)
        for remark in report.remarks:
            say(remark)
        for refusal in report.studies.refusals or ():
            say(f"Study {refusal.study_id}: {' '.join(refusal.reasons)}")
    if report.wrong:
        raise typer.Exit(1)
