"""`sluse import`: a folder, a CD or a ZIP into a project."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.remote.session import Session, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from services.remote.folder import Listed
    from sluse_client import models

_PAUSE = 0.5  # seconds between looks whether Sluse has read everything


def import_files(
    session: Session,
    source: Annotated[Path, typer.Argument(help="Folder (with all below it) or ZIP.", exists=True)],
    project: Annotated[str, typer.Option(help="Code of the project.")],
    participant: Annotated[
        str | None, typer.Option(help="The participant; left out, Sluse chooses by the patient.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="One of the project's events.")] = None,
    site: Annotated[str | None, typer.Option(help="One of the project's sites.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take all studies found.")] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="It is right that patient and participant differ.")
    ] = False,
    identities: Annotated[
        bool, typer.Option("--identities", help="Show who the patients are.")
    ] = False,
) -> None:
    """Send a folder or ZIP, show what Sluse found in it, and accept it with `--accept`.

    Interrupted, the same command goes on where it was; what was sent is not sent again.
    """
    from services.remote import folder
    from sluse_client import models

    files = folder.listed(source)
    if not files:
        sys.exit("There is no file in it.")
    under_way = folder.find(session.client, project, files)
    if under_way is None:
        said = {"participant": participant, "event": event, "site": site}
        under_way = session.client.begin_import(
            models.ImportCreate.model_validate(
                {"project": project, "note": folder.mark(files)}
                | {key: value for key, value in said.items() if value is not None}
            )
        )
        say(f"Import {under_way.id} has begun.")
    else:
        say(f"Import {under_way.id} goes on.")
    if under_way.state in (models.ImportState.UPLOADING, models.ImportState.FAILED):
        with _going_on(under_way.id):
            _send(session, under_way.id, files)
        under_way = session.client.finish_upload(under_way.id)
    under_way = _read(session, under_way)
    review = session.client.review_import(under_way.id)
    if accept and review.studies:
        _require_clear(review, participant or under_way.participant, confirmed)
        said = {"participant": participant, "event": event, "site": site}
        under_way = session.client.accept_import(
            under_way.id,
            models.ImportAccept.model_validate(
                {"studies": [one.study_instance_uid for one in review.studies]}
                | {key: value for key, value in said.items() if value is not None}
                | ({"confirmed": True} if confirmed else {})
            ),
        )
    _show(session, under_way, review, identities)


def _send(session: Session, import_id: int, files: "list[Listed]") -> None:
    from services.remote import folder

    with _progress() as progress:
        task = progress.add_task("Sending", total=sum(one.size for one in files))
        folder.send(session.client, import_id, files, lambda count: progress.advance(task, count))


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip


@contextmanager
def _going_on(import_id: int) -> Iterator[None]:
    """Say how to go on, whatever ends the sending."""
    try:
        yield
    except BaseException:
        say(f"Import {import_id} is not complete: the same command goes on where it was.")
        raise


def _read(session: Session, under_way: "models.ImportRead") -> "models.ImportRead":
    """Wait until Sluse has looked into everything."""
    from sluse_client import models

    while under_way.state is models.ImportState.READING:
        time.sleep(_PAUSE)
        under_way = session.client.read_import(under_way.id)
    if under_way.state is not models.ImportState.REVIEW:
        sys.exit(f"Import {under_way.id} is {under_way.state}: {under_way.reason or 'no reason'}")
    return under_way


def _require_clear(review: "models.Review", participant: str | None, confirmed: bool) -> None:
    """End here where "all studies" would take too little, or too much."""
    from sluse_client import models

    codes = {one.code for one in review.warnings}
    if models.Code.TOO_MANY in codes:  # what is not accepted is discarded
        sys.exit("There are more studies than one review shows: import them in smaller parts.")
    if models.Code.SEVERAL_PATIENTS in codes and participant and not confirmed:
        sys.exit(
            f"The studies are of several patients, not all of them {participant}: accept some on "
            "the page, leave out --participant, or say --confirmed."
        )


def _show(
    session: Session, under_way: "models.ImportRead", review: "models.Review", identities: bool
) -> None:
    from services.remote import showing

    who = {
        "study_instance_uid", "patient_id", "patient_name", "patient_birth_date", "patient_sex",
        "accession_number", "study_date", "study_description", "known_as",
    }  # fmt: skip
    if session.as_json:
        hidden = None if identities else {"studies": {"__all__": who}}
        found = review.model_dump(mode="json", exclude=hidden)
        showing.as_json({"id": under_way.id, "state": under_way.state, "review": found})
        return
    counts = {name: count for name, count in review.found if count}
    showing.table([], [["Import", under_way.id], ["State", under_way.state]])
    showing.table([], [[f"  {name}", count] for name, count in counts.items()])
    headings = ["STUDY", "MODALITIES", "SERIES", "IMAGES", "WARNINGS"]
    lines: list[list[object]] = [
        [number, one.modalities, one.series, one.images, [w.code for w in one.warnings]]
        for number, one in enumerate(review.studies, 1)
    ]
    if identities:
        headings += ["PATIENT ID", "NAME", "BORN", "MADE", "DESCRIPTION"]
        for line, one in zip(lines, review.studies, strict=True):
            line += [
                one.patient_id, one.patient_name, one.patient_birth_date, one.study_date,
                one.study_description,
            ]  # fmt: skip
    if lines:
        showing.table(headings, lines)
    warnings = {(w.code, w.message) for one in review.studies for w in one.warnings}
    for code, message in sorted(warnings | {(w.code, w.message) for w in review.warnings}):
        say(f"{code}: {message}")
    if under_way.state == "review":
        say("Nothing is taken yet: the same command with --accept takes all studies.")
    else:
        say("Taken: the studies come into the project as soon as they are catalogued.")
