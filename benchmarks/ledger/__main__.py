"""Lists and counts over a large ledger on PostgreSQL; `README.md` says how it is done."""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.ledger.filling import Size, fill
from benchmarks.ledger.questions import Question, questions
from services.api.app import create_app
from shared.runtime import open_runtime
from shared.settings import embedded
from tests.servers.common import stop_all
from tests.servers.postgres import new_database, postgres

RESULTS = Path(__file__).parent / "results.md"
_BEFORE = 7
"""Unmeasured calls: as many as PostgreSQL needs to choose between its kinds of plans."""
_MEASURED = 5


@dataclass(frozen=True)
class Measured:
    """How long an answer took."""

    question: Question
    milliseconds: float
    statements: int
    kilobytes: float
    """Of the answer."""


def main() -> None:
    options = _options()
    size = Size(options.studies, options.series, options.instances)
    with tempfile.TemporaryDirectory(prefix="sluse-bench-") as name:
        folder = Path(name)
        (folder / "owner").write_text(str(os.getpid()))
        try:
            url = new_database(postgres(folder))
            report = asyncio.run(_run(url, folder, size, options))
        finally:
            stop_all(folder)
    print("\n".join(report))
    if options.write:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write("\n".join(["", *report, ""]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=10, help="per study, on average (10)")
    parser.add_argument("--instances", type=int, default=20, help="per series, on average (20)")
    parser.add_argument("--slow", type=float, default=50, help="explain from so many ms on (50)")
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="SQL",
                        help="what comes before the questions: an index to try")  # fmt: skip
    parser.add_argument("--only", default="", help="only questions whose description holds this")
    parser.add_argument("--write", action="store_true", help=f"append to {RESULTS.name}")
    return parser.parse_args()


async def _run(url: str, folder: Path, size: Size, options: argparse.Namespace) -> list[str]:
    # One connection, so that it is the same that learns and that answers.
    settings = embedded(folder / "data", database_url=SecretStr(url), database_pool=1)
    settings.spool_path.parent.mkdir(parents=True)
    async with open_runtime(settings, "bench", migrating=True) as runtime:
        engine = runtime.ledger.engine
        began = time.perf_counter()
        await fill(engine, size)
        for statement in options.tries:
            await _execute(engine, statement)
        title = await _describe(engine, size, time.perf_counter() - began)
        transport = httpx.ASGITransport(create_app(runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            measured = [
                await _measure(client, engine, question, options.slow)
                for question in questions(size)
                if options.only in question.what
            ]
    return [title, "", *_table(measured)]


async def _measure(
    client: httpx.AsyncClient, engine: AsyncEngine, question: Question, slow: float
) -> Measured:
    times, answer = [], None
    for number in range(_BEFORE + _MEASURED):
        began = time.perf_counter()
        answer = await client.request(**question.request)
        if number >= _BEFORE:
            times.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{question.what}: {answer.status_code} {answer.text[:500]}")
    assert answer is not None
    median = statistics.median(times)
    with _statements(engine) as asked:
        await client.request(**question.request)
    if median >= slow:
        print(f"\n== {question.what}: {median:.1f} ms", flush=True)
        for statement, parameters in list(asked):
            await _explain(engine, statement, parameters)
    return Measured(question, median, len(asked), len(answer.content) / 1000)


@contextmanager
def _statements(engine: AsyncEngine) -> Iterator[list[tuple[str, Any]]]:
    """The SELECTs that are executed meanwhile, with their parameters."""
    found: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            found.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def _explain(engine: AsyncEngine, statement: str, parameters: Any) -> None:
    """Print the plan of a statement that takes its time."""
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters
        )
        plan = [row[0] for row in rows]
    spent = float(next(line for line in plan if line.startswith("Execution")).split()[2])
    if spent > 5:
        # A page's ids make lines that nobody reads.
        print(*(line[:160] for line in ["", *statement.splitlines(), *plan]), sep="\n", flush=True)


async def _execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        began = time.perf_counter()
        await alone.exec_driver_sql(statement)
        print(f"{statement}: {time.perf_counter() - began:.1f} s", flush=True)


async def _describe(engine: AsyncEngine, size: Size, seconds: float) -> str:
    async with engine.connect() as connection:
        numbers = [
            (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("study", "series", "instance", "delivery")
        ]
        result = await connection.exec_driver_sql(
            "SELECT pg_database_size(current_database()) / 1e9 AS gigabytes,"
            " current_setting('server_version') AS version"
        )
        row = result.one()
    studies, series, instances, deliveries = numbers
    return (
        f"## {studies:,} studies, {series:,} series, {instances:,} instances, "
        f"{deliveries:,} deliveries\n\n{row.gigabytes:.1f} GB in PostgreSQL "
        f"{row.version.split()[0]} with its default settings (but for fsync, which is off), filled "
        f"in {seconds:.0f} s; {os.cpu_count()} cores, Python {platform.python_version()}."
    )


def _table(measured: list[Measured]) -> list[str]:
    lines = ["| | ms | statements | kB |", "|---|--:|--:|--:|"]
    lines += [
        f"| {one.question.what} | {one.milliseconds:.1f} | {one.statements} | {one.kilobytes:.1f} |"
        for one in measured
    ]
    slowest = max(measured, key=lambda one: one.milliseconds)
    return [*lines, "", f"Slowest: {slowest.question.what}, {slowest.milliseconds:.1f} ms."]


if __name__ == "__main__":
    main()
