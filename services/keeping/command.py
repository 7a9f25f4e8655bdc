"""What `sluse backup`, `restore`, `doctor`, `key-is-kept` and `rotate-master-key` say."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import ValidationError

from services.keeping import backing_up, kept, restoring, rotating
from services.keeping.doctor import examining
from services.keeping.findings import Said, as_documents, as_lines, is_well
from shared import telemetry
from shared.errors import Retry, StartError
from shared.ledger import Ledger
from shared.ledger.schema import require_current
from shared.settings import Settings

T = TypeVar("T")

_APART = (
    "It is in the backup now: whoever has both can read who every participant is. Keep this backup "
    "as you would keep the key, or move the key out of it to a place of its own."
)
_NOT_THERE = (
    "The master key is not in it: keep a copy of that apart from this backup. Without the key "
    "nobody can read who the participants are, neither a thief nor you."
)
_SINCE = (
    "Whatever was withdrawn, recalled or decided after the backup was made is not known any more, "
    "and must be done again."
)


def back_up(settings: Settings, target: Path, wishes: backing_up.Wishes) -> None:
    """Make a backup, and say what is in it."""
    made = _run(settings, lambda: backing_up.back_up(settings, target, wishes))
    spool = "with all of them" if wishes.with_spool else "not with the files themselves"
    typer.echo(
        f"{target}: the database ({made.kind}), and a list of the spool's {made.files} files, "
        f"{spool}."
    )
    typer.echo(_APART if wishes.with_key else _NOT_THERE)


def restore(settings: Settings, folder: Path, *, over: bool, with_key: bool) -> None:
    """Restore a backup, say what is missing, and end as the doctor does."""
    done = _run(settings, lambda: restoring.restore(settings, folder, over=over, with_key=with_key))
    typer.echo(f"The database is what it was at {done.description.made_at:%Y-%m-%d %H:%M} UTC.")
    if done.put_back:
        typer.echo(f"{done.put_back} files were missing from the spool and came from the backup.")
    for room, number in sorted(done.missing.items()):
        moved_on = "" if room in ("received", "quarantine") else " (they may have moved on since)"
        typer.echo(f"{number} files of {room}/ that the backup knows of are not there{moved_on}.")
    typer.echo(_SINCE)
    _say(done.examined, as_json=False)


def examine(settings: Settings, wishes: examining.Wishes, *, as_json: bool) -> None:
    """Say what the doctor finds; the exit code is 1 where something is wrong and not mended."""
    _say(_run(settings, lambda: examining.examine(settings, wishes)), as_json=as_json)


def key_is_kept(settings: Settings) -> None:
    """Note that a copy of the master key is kept."""

    async def note() -> str:
        key = settings.load_master_key()
        ledger = Ledger(settings)
        try:
            await require_current(ledger)
            await kept.note_kept(ledger, key)
        finally:
            await ledger.close()
        return key.fingerprint

    typer.echo(f"Noted: a copy of the key with the fingerprint {_run(settings, note)} is kept.")


def rotate(settings: Settings, into: Path | None) -> None:
    """Change the master key, and say where the new one and the old one are."""
    done = _run(settings, lambda: rotating.rotate(settings, into))
    changed = sum(done.rows.values())
    typer.echo(f"{changed} secrets were brought under the new master key; everybody signs in anew.")
    typer.echo(f"New key: {done.file} (fingerprint {done.new.fingerprint})")
    if done.earlier is None:
        typer.echo(
            "Put what this file holds where Sluse takes the master key from, before you start it; "
            "backups from before today need the earlier one."
        )
    else:
        typer.echo(
            f"Old key: {done.earlier}. Backups from before today need it: move it to where you "
            "keep keys."
        )
    typer.echo("Keep a copy of the new key, and say so with `sluse key-is-kept`.")


def _say(said: list[Said], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"well": is_well(said), "said": as_documents(said)}, indent=1))
    else:
        typer.echo("\n".join(as_lines(said)))
    if not is_well(said):
        sys.exit(1)


def _run(settings: Settings, work: Callable[[], Awaitable[T]]) -> T:
    telemetry.configure_logging(settings)

    async def run() -> T:
        return await work()

    try:
        return asyncio.run(run())
    except ValidationError as error:
        sys.exit(f"This can't be read: {error.errors()[0]['type']}")
    except Retry as error:
        sys.exit(error.reason.in_words)
    except StartError as error:
        sys.exit(f"Not done: {error}")
    except OSError as error:
        sys.exit(f"Not done: {error.strerror or type(error).__name__}")
