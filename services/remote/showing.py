"""How answers look: tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.remote.session import Session, say

RowT = TypeVar("RowT", bound=BaseModel)
Columns = Mapping[str, Callable[[RowT], object]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WIDE = 1000  # columns, where nobody looks at it in a terminal


def rows(
    session: Session,
    found: Iterable[RowT],
    columns: Columns[RowT],
    *,
    most: int | None = None,
    without: Iterable[str] = (),
) -> None:
    """Show a list: at most `most` rows, and in JSON without the fields `without`."""
    iterator = iter(found)
    shown = list(iterator if most is None else islice(iterator, most))
    if session.as_json:
        as_json([row.model_dump(mode="json", exclude=set(without)) for row in shown])
    elif shown:
        table(list(columns), [[read(row) for read in columns.values()] for row in shown])
    else:
        say("There is none.")
    if most is not None and next(iterator, None) is not None:
        say(f"There are more: these are the first {most} (--most).")


def one(session: Session, shown: BaseModel, fields: Mapping[str, object], *without: str) -> None:
    """Show one thing, a line for each field."""
    if session.as_json:
        as_json(shown.model_dump(mode="json", exclude=set(without)))
    else:
        table([], [[name, value] for name, value in fields.items()])


def as_json(value: Any) -> None:
    """Write JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def table(headings: list[str], lines: Iterable[Iterable[object]]) -> None:
    """Write a table without lines; numbers to the right."""
    cells = [list(line) for line in lines]
    drawn = Table(box=None, show_header=bool(headings), pad_edge=False, padding=(0, 2, 0, 0))
    for place in range(len(headings) or max(map(len, cells), default=0)):
        numbers = bool(cells) and all(_is_number(line[place]) for line in cells)
        drawn.add_column(
            headings[place] if headings else "",
            justify="right" if numbers else "left",
            overflow="fold",
        )
    for line in cells:
        drawn.add_row(*map(_text, line))
    width = None if sys.stdout.isatty() else _WIDE
    Console(width=width, highlight=False).print(drawn)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> Text:
    """`value` in words; what steers a terminal is taken out."""
    if value is None or value == "":
        words = "–"
    elif isinstance(value, bool):
        words = "yes" if value else "no"
    elif isinstance(value, datetime):
        words = value.astimezone().strftime("%Y-%m-%d %H:%M")
    elif isinstance(value, date):
        words = value.isoformat()
    elif isinstance(value, list):
        words = ", ".join(map(str, value)) or "–"
    else:
        words = str(value)
    return Text(_CONTROL.sub("·", words))
