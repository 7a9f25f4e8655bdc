"""The command `sluse deidentify`: the engine by itself, without services, database or broker.

What it needs is imported when it is run: an image of another service has only that one's packages.
"""

import re
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from services.anonymizer.processes import start_server
from shared.identity import PARTICIPANT, PROJECT_CODE

if TYPE_CHECKING:
    from services.anonymizer.standalone import Plan, Summary
    from services.anonymizer.standalone.run import How

_NAME = r"[^\x00-\x1f\x7f\\]{0,64}"
_MOST_DAYS = 36500
_PROBLEMS_SHOWN = 3
_WRONG_USE, _INTERRUPTED = 2, 130


class Legacy(StrEnum):
    """How the earlier system wrote its identifiers."""

    DECIMAL = "decimal"
    HEX = "hex"


class Command(TyperCommand):
    """A command that says in one line what is wrong with its options."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        try:
            return super().make_context(*args, **options)
        except typer.TyperException as error:
            if error.exit_code != _WRONG_USE:
                raise
            _refuse(f"{error.format_message().rstrip('.')}. See `sluse deidentify --help`.")


def deidentify(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IN", help="Files, folders (with all below them) and ZIPs."),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder of the copies: PARTICIPANT/STUDY/SERIES/INSTANCE.dcm."
        ),
    ],
    project: Annotated[str, typer.Option(help="Code of the project: 3 to 16 capitals, digits.")],
    participant: Annotated[
        str, typer.Option(help="Pseudonym that replaces the names and ids in all of IN.")
    ],
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="The project's key. Always the same one: only then do later images join these. "
            "Who has it can recognize originals; keep it safe, and keep a copy.",
        ),
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a new key and write it to --key-file.")
    ] = False,
    legacy: Annotated[
        Legacy | None,
        typer.Option(help="Identifiers as the earlier system made them, without a key."),
    ] = None,
    event: Annotated[str, typer.Option(help="The participant's visit.")] = "",
    site: Annotated[str, typer.Option(help="Where the images come from.")] = "",
    profile: Annotated[
        Path | None, typer.Option(help="A profile to use instead of the usual table.")
    ] = None,
    date_shift: Annotated[
        int, typer.Option(metavar="DAYS", help="Days added to every date; 0 keeps the dates.")
    ] = 0,
    several_patients: Annotated[
        bool,
        typer.Option(
            "--several-patients",
            help="Make one participant of whatever patients IN holds: one person who has several "
            "ids. Without it nothing is done when there are several.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes.", show_default="one per core")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="New JSON file for what was done to every element of every file."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write no copies, only say what would happen.")
    ] = False,
) -> None:
    """De-identify files, folders and ZIPs, with nothing else running.

    Nothing is ever overwritten. Name the project's key with --key-file (--new-key makes it), or a
    scheme of the earlier system with --legacy.

    Exit codes: 0 every image has its copy, 1 some were held or there was none, 2 the options were
    wrong, or IN holds several patients, and nothing was done, 130 stopped with Ctrl-C.
    """
    _check_values(project, participant, event, site, date_shift, workers)
    # Long before it is used: it gets ready while this process reads the profile and the folders.
    start_server()
    from services.anonymizer.standalone.run import How

    _check_places(inputs, output, report)
    options = {"event": event, "site": site, "date_shift_days": date_shift}
    if profile is not None:
        options["profile"] = _profile(profile)
    key = _key(key_file, legacy, make=new_key, dry_run=dry_run)
    plan = _plan(project, key, participant, legacy, options)
    _run(inputs, output, plan, How(workers, dry_run, report is not None, several_patients), report)


def _refuse(text: str) -> NoReturn:
    typer.echo(f"sluse deidentify: {text}", err=True)
    sys.exit(_WRONG_USE)


def _check_values(
    project: str, participant: str, event: str, site: str, days: int, workers: int | None
) -> None:
    if re.fullmatch(PROJECT_CODE, project) is None:
        _refuse("--project: use 3 to 16 capitals and digits, starting with a letter.")
    if re.fullmatch(PARTICIPANT, participant) is None:
        _refuse(
            "--participant: use up to 64 letters, digits, dots, dashes and underscores, starting "
            "with a letter or digit."
        )
    for option, value in (("--event", event), ("--site", site)):
        if re.fullmatch(_NAME, value) is None or value != value.strip():
            _refuse(
                f"{option}: use up to 64 characters, no backslashes or control characters, and no "
                "blanks at the ends."
            )
    if abs(days) > _MOST_DAYS:
        _refuse(f"--date-shift: use at most {_MOST_DAYS} days, back or forth.")
    if workers is not None and not 1 <= workers <= 256:
        _refuse("--workers: use 1 to 256.")


def _check_places(inputs: list[Path], output: Path, report: Path | None) -> None:
    from services.anonymizer.standalone.inputs import printable

    into = output.resolve()
    if output.exists() and not output.is_dir():
        _refuse(f"OUT must be a folder; {printable(output)} is none.")
    for path in inputs:
        if not path.exists():
            _refuse(f"there is no {printable(path)}.")
        if path.resolve().is_relative_to(into):
            _refuse("IN must not be in OUT: choose another folder for the copies.")
    if report is not None and report.exists():
        _refuse(f"--report: {printable(report)} exists already and is not replaced.")
    if report is not None and report.absolute().parent != into and not report.parent.is_dir():
        _refuse(f"--report: there is no folder {printable(report.parent)}.")


def _key(path: Path | None, legacy: Legacy | None, *, make: bool, dry_run: bool) -> bytes:
    from services.anonymizer.standalone.keys import KeyFileError, make_key, read_key
    from shared.identity import new_project_key

    if legacy is not None:
        if path is not None or make:
            _refuse("--legacy has no key: leave --key-file and --new-key out.")
        return b""
    if path is None:
        _refuse("--key-file is missing: name the project's key, or a new file with --new-key.")
    if make and path.exists():
        _refuse("--new-key: the key file exists already. To use it, leave --new-key out.")
    if not make and not path.exists():
        _refuse("--key-file: there is no such file. For a new project, add --new-key.")
    if make and dry_run:
        return new_project_key()
    try:
        key = make_key(path) if make else read_key(path)
        if path.stat().st_mode & 0o077:
            typer.echo("Warning: others on this machine can open the key file.", err=True)
    except KeyFileError as error:
        _refuse(f"{error}.")
    return key


def _profile(path: Path) -> Any:
    from shared.profile import ProfileError, load_profile

    try:
        return load_profile(path.read_text("utf-8"))
    except OSError as error:
        _refuse(f"--profile: the file can't be read: {error.strerror}.")
    except UnicodeDecodeError:
        _refuse("--profile: the file is not text in UTF-8.")
    except ProfileError as error:
        more = len(error.problems) - _PROBLEMS_SHOWN
        shown = "; ".join(error.problems[:_PROBLEMS_SHOWN])
        _refuse(f"--profile: {shown}" + (f"; and {more} more" if more > 0 else ""))


def _plan(
    project: str, key: bytes, participant: str, legacy: Legacy | None, options: dict[str, Any]
) -> "Plan":
    from services.anonymizer.standalone import Plan
    from shared.schemes import Scheme

    scheme = {
        None: Scheme.KEYED,
        Legacy.DECIMAL: Scheme.LEGACY_DECIMAL,
        Legacy.HEX: Scheme.LEGACY_HEX,
    }[legacy]
    return Plan(project=project, key=key, participant=participant, scheme=scheme, **options)


def _run(inputs: list[Path], output: Path, plan: "Plan", how: "How", report: Path | None) -> None:
    from services.anonymizer.standalone.patients import SeveralPatients
    from services.anonymizer.standalone.words import in_words, patients_in_words

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    try:
        summary, stopped = _worked_off(inputs, output, plan, how, report)
    except KeyboardInterrupt:
        typer.echo("Stopped before anything was written.", err=True)
        sys.exit(_INTERRUPTED)
    except SeveralPatients as error:
        _refuse(patients_in_words(error.patients))
    except OSError as error:
        _refuse(f"OUT or the report can't be written: {error.strerror}.")
    typer.echo(in_words(summary, output, plan, dry_run=how.dry_run, stopped=stopped))
    if stopped:
        sys.exit(_INTERRUPTED)
    sys.exit(0 if summary.complete else 1)


def _stop(*_: object) -> None:
    # Once: what is half done is cleaned up in peace.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _worked_off(
    inputs: list[Path], output: Path, plan: "Plan", how: "How", report: Path | None
) -> tuple["Summary", bool]:
    """How it went, and whether it was stopped before the end."""
    from services.anonymizer.standalone.progress import bar
    from services.anonymizer.standalone.report import report_to
    from services.anonymizer.standalone.run import begun

    stopped = False
    with begun(inputs, output, plan, how) as run:
        with bar("Looking", run.summary.found) as advance:
            run.look(advance)
        run.prepare()
        with report_to(report, plan, dry_run=how.dry_run) as file:
            try:
                with bar("De-identifying", run.summary.found) as advance:
                    for outcome in run.outcomes():
                        if file is not None:
                            file.add(outcome)
                        advance()
            except KeyboardInterrupt:
                stopped = True
            if file is not None:
                file.finish(run.summary)
    return run.summary, stopped
