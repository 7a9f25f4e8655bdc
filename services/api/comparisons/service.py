"""Compares what a project's research PACS holds with what was sent there."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from services.api.comparisons.schemas import Comparison, Difference, Kind
from services.api.comparisons.sent import Sent, sent
from services.api.participants.service import project_id
from services.api.problems import ProblemError, rule_broken
from shared.dimse.scu import RefusedError
from shared.holdings import Place, instances_held, place_of
from shared.ledger import Connection
from shared.ledger.tables import Destination, Project, core
from shared.runtime import Runtime

_project, _destination = core(Project), core(Destination)

# Of their own: an archive that hangs must not keep the threads that others need.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="comparing")


async def compare(runtime: Runtime, code: str, limit: int, after: int | None) -> Comparison:
    """Compare the next `limit` studies of a project.

    Raises
    ------
    ProblemError
        There is no such project, it has no destination, or that refuses queries.
    Retry
        The research PACS does not answer.
    """
    # What is sent while the archive is asked must not seem too much: the ledger goes first.
    async with runtime.ledger.reading() as connection:
        project, archive = await _where(connection, code)
        expected = await sent(connection, project, limit=limit + 1, after=after)
    page = expected[:limit]
    held = await _ask(runtime, archive, page) if page else {}
    return Comparison(
        items=[found for one in page if (found := difference(one, held))],
        next=page[-1].study_id if len(expected) > limit else None,
        compared=len(page),
    )


def difference(expected: Sent, held: Mapping[str, int]) -> Difference | None:
    """In what the archive's number of a study's instances differs; None when it does not."""
    number = held.get(expected.released_study_uid, 0)
    if expected.delivered <= number <= expected.delivered + expected.in_flight:
        return None
    kind = Kind.TOO_MANY
    if number < expected.delivered:
        kind = Kind.TOO_FEW if number else Kind.MISSING
    return Difference(**expected._asdict(), kind=kind, held=number)


async def _where(connection: Connection, code: str) -> tuple[int, Place]:
    project = await project_id(connection, code)
    row = (
        await connection.execute(
            select(_destination).join_from(_project, _destination).where(_project.c.id == project)
        )
    ).first()
    if row is None:
        raise rule_broken("code", "The project has no destination.")
    return project, place_of(row)


async def _ask(runtime: Runtime, archive: Place, page: list[Sent]) -> dict[str, int]:
    uids = [one.released_study_uid for one in page]
    try:
        return await asyncio.get_running_loop().run_in_executor(
            _threads, instances_held, runtime.settings, archive, uids
        )
    except RefusedError as error:
        raise ProblemError(502, f"The research PACS refuses to be asked: {error}.") from error
