"""`sluse status`, `studies` and `dead-letters`: what is here, and what needs a person."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.remote.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluse_client import models

Most = Annotated[int, typer.Option("--most", min=1, help="Rows at most.")]
# Whoever needs identities has the page, where each look at them is audited.
_IDENTITIES = (
    "study_instance_uid", "patient_id", "patient_name", "patient_birth_date", "patient_sex",
    "accession_number", "study_date", "study_description",
)  # fmt: skip

studies = typer.Typer(help="Studies that have arrived, without identities.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that nobody could handle.", no_args_is_help=True)


def status(session: Session) -> None:
    """Show the pipeline's counts, and what needs attention."""
    from services.remote import showing

    pipeline = session.client.read_pipeline()
    if session.as_json:
        showing.as_json(pipeline.model_dump(mode="json"))
        return
    arrived, assigned = pipeline.arrivals, pipeline.assigned
    sections: dict[str, dict[str, int | None]] = {
        "Arrived": {
            "studies": arrived.studies,
            "of these in no project": arrived.unassigned_studies,
            "images": arrived.instances,
            "in quarantine": arrived.quarantined,
        },
        "Images of transfers": {
            "received": assigned.received,
            "delivered": assigned.delivered,
            "on their way": assigned.in_flight,
            "held": assigned.held,
            "failed": assigned.failed,
        },
        "Transfers": dict(pipeline.transfers),
        "Messages waiting": pipeline.queues,
    }
    for title, counts in sections.items():
        typer.echo(title)
        if counts:
            showing.table([], [["  " + name, count] for name, count in counts.items()])
        else:
            typer.echo("  none")
    needed = list(_needs_attention(pipeline))
    typer.echo("Needs attention" if needed else "Nothing needs attention.")
    for line in needed:
        typer.echo(f"  {line}")


def _needs_attention(pipeline: "models.Pipeline") -> "Iterator[str]":
    attention = pipeline.transfers.get("attention", 0)
    for count, what in (
        (attention, "transfers (sluse transfers list --state attention)"),
        (pipeline.assigned.held, "images are held for a person"),
        (pipeline.assigned.failed, "images have failed (sluse transfers retry)"),
        (pipeline.arrivals.quarantined, "files are in quarantine"),
        (pipeline.dead_letters, "messages nobody could handle (sluse dead-letters list)"),
        (pipeline.to_be_deleted, "recalls are to be deleted at a research PACS by hand"),
    ):  # fmt: skip
        if count:
            yield f"{count} {what}"
    for one in pipeline.unrouted:
        yield f"{one.studies} studies that a rule matched were not taken: {one.reason}"
    if None in pipeline.queues.values():
        yield "The message broker is away."


@command(studies, "list")
def list_studies(
    session: Session,
    unassigned: Annotated[
        bool | None, typer.Option("--unassigned/--assigned", help="Only those in no project.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only this project's.")] = None,
    modality: Annotated[str | None, typer.Option(help="Only with a series of it.")] = None,
    most: Most = 100,
) -> None:
    """List studies, the newest first."""
    from services.remote import showing
    from sluse_client import every, models

    columns: showing.Columns[models.StudyRead] = {
        "ID": lambda study: study.id,
        "ARRIVED": lambda study: study.first_received_at,
        "ALL HERE": lambda study: study.settled_at is not None,
        "MODALITIES": lambda study: study.modalities,
        "SERIES": lambda study: study.series,
        "IMAGES": lambda study: study.instances,
        "PROJECTS": lambda study: study.projects,
        "NOT TAKEN BECAUSE": lambda study: study.routing_note,
    }
    found = every(
        session.client.list_studies, unassigned=unassigned, project=project, modality=modality
    )
    showing.rows(session, found, columns, most=most, without=_IDENTITIES)


@command(dead_letters, "list")
def list_dead_letters(session: Session, most: Most = 100) -> None:
    """List the messages that were given up, the newest first; without their contents."""
    from services.remote import showing
    from sluse_client import every, models

    columns: showing.Columns[models.DeadLetterRead] = {
        "ID": lambda letter: letter.id,
        "GIVEN UP": lambda letter: letter.died_at,
        "QUEUE": lambda letter: letter.queue,
        "WHY": lambda letter: letter.reason,
        "DETAIL": lambda letter: letter.detail,
    }
    found = every(session.client.list_dead_letters)
    # The body names received UIDs.
    showing.rows(session, found, columns, most=most, without=("body",))
