"""`sluse transfers`: studies on their way into projects."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.remote.overview import Most
from services.remote.session import Session, command

if TYPE_CHECKING:
    from sluse_client import models

transfers = typer.Typer(help="Studies on their way into projects.", no_args_is_help=True)

_Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The transfer's number.")]


@command(transfers, "list")
def list_transfers(
    session: Session,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state: `attention`, say.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only this project's.")] = None,
    most: Most = 100,
) -> None:
    """List transfers with their counts, the newest first."""
    from services.remote import showing
    from sluse_client import every, models

    try:
        wanted = None if state is None else models.TransferState(state)
    except ValueError:
        states = ", ".join(models.TransferState)
        raise typer.BadParameter(f"one of {states}, please", param_hint="--state") from None
    columns: showing.Columns[models.TransferRead] = {
        "ID": lambda one: one.id,
        "PROJECT": lambda one: one.project,
        "PARTICIPANT": lambda one: one.participant,
        "EVENT": lambda one: one.event,
        "SITE": lambda one: one.site,
        "STATE": lambda one: one.state,
        "RECEIVED": lambda one: one.counts.received,
        "DELIVERED": lambda one: one.counts.delivered,
        "HELD": lambda one: one.counts.held,
        "FAILED": lambda one: one.counts.failed,
        "REQUESTED": lambda one: one.requested_at,
    }
    found = every(session.client.list_transfers, state=wanted, project=project)
    showing.rows(session, found, columns, most=most)


@command(transfers, "show")
def show_transfer(session: Session, number: _Number) -> None:
    """Show one transfer: its state, its counts, and what troubles it."""
    _show(session, session.client.read_transfer(number))


@command(transfers, "retry")
def retry_transfer(session: Session, number: _Number) -> None:
    """Start failed images again once their cause is mended, and try the waiting ones now."""
    _show(session, session.client.retry_transfer(number))


@command(transfers, "cancel")
def cancel_transfer(
    session: Session,
    number: _Number,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Stop a transfer. What is delivered stays there."""
    if not yes:
        typer.confirm(f"Stop transfer {number}?", abort=True, err=True)
    _show(session, session.client.cancel_transfer(number))


def _show(session: Session, transfer: "models.TransferRead") -> None:
    from services.remote import showing

    counts = transfer.counts
    fields: dict[str, object] = {
        "Transfer": transfer.id,
        "Study": transfer.study_id,
        "Project": transfer.project,
        "Participant": transfer.participant,
        "Event": transfer.event,
        "Site": transfer.site,
        "State": transfer.state,
        "Requested": transfer.requested_at,
        "Images": f"{counts.received} received = {counts.delivered} delivered + "
        f"{counts.in_flight} on their way + {counts.held} held + {counts.failed} failed",
        "Verified": transfer.verified_at,
    }
    if transfer.reason:
        fields["Not verified"] = transfer.reason
    for trouble in transfer.troubles:
        what = f"{trouble.instances} {trouble.state}"
        fields[what.capitalize()] = f"{trouble.reason} {trouble.detail}".strip()
    showing.one(session, transfer, fields)
