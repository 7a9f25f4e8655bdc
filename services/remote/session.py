"""What all commands have in common: where Sluse is, the token, how they end when it is refused."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sluse_client import Client

_Url = Annotated[str, typer.Option("--url", envvar="SLUSE_URL", help="Where Sluse is.")]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="SLUSE_TOKEN_FILE", help="File with the token; else SLUSE_TOKEN."
    ),
]
_CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", envvar="SLUSE_CA_FILE", help="Certificates (PEM) to believe, not the system's."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "url": (_Url, "http://127.0.0.1:8080"),
    "token_file": (_TokenFile, None),
    "ca_file": (_CaFile, None),
    "as_json": (_Json, False),
}


@dataclass(frozen=True)
class Session:
    """One command's connection, and the form in which it answers."""

    client: "Client"
    as_json: bool


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function whose first parameter is the session a command of `app`."""

    def register(work: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(work)
        def run(
            *, url: str, token_file: Path | None, ca_file: Path | None, as_json: bool, **given: Any
        ) -> None:
            with _connected(url, token_file, ca_file) as client:
                _refusing(lambda: work(Session(client, as_json), **given), client)

        _, *own = inspect.signature(work, eval_str=True).parameters.values()
        # Keywords only, so that those with defaults may come before those without.
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in _OPTIONS.items()
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name)(run)
        return work

    return register


def say(text: str) -> None:
    """Tell the person something that is no part of the answer."""
    typer.echo(text, err=True)


def _connected(url: str, token_file: Path | None, ca_file: Path | None) -> "Client":
    from sluse_client import Client, SluseError

    token = os.environ.get("SLUSE_TOKEN", "")
    if token_file is not None:
        try:
            token = token_file.read_text()
        except (OSError, UnicodeError) as error:
            sys.exit(f"The token can't be read: {error}")
    try:
        return Client(url, token.strip() or None, ca_file=str(ca_file) if ca_file else None)
    except SluseError as error:
        sys.exit(str(error))


def _refusing(work: Callable[[], None], client: "Client") -> None:
    from sluse_client import ApiProblem, SluseError

    try:
        work()
    except ApiProblem as problem:
        hint = ""
        if problem.status == 401:
            shown = "authorization" in client.transport.http.headers
            hint = (
                "\nThe token is not, or no longer, valid."
                if shown
                else "\nSet SLUSE_TOKEN, or SLUSE_TOKEN_FILE, to a token made on the page."
            )
        sys.exit(f"{problem}{hint}")
    except SluseError as error:
        sys.exit(str(error))
