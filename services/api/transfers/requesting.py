"""Assigns studies for people: one or several at once, or only looks at what would become of it."""

from collections.abc import Sequence

from services.api.nudging import nudge_requested
from services.api.problems import ProblemError
from services.api.rights.person import Person
from services.api.rights.studies import require_project, seen_by
from services.api.transfers import life, service
from services.api.transfers.schemas import TransferCreate, TransferRead
from shared.admission import Way
from shared.ledger import Connection
from shared.people import Right
from shared.runtime import Runtime

Outcome = TransferRead | ProblemError
"""The new transfer, or what stands against it."""

_BY_PEOPLE = (Way.REST, Way.IMPORT)


class _BackError(Exception):
    """Nothing of what the transaction did is to stay."""


async def request_all(
    person: Person, runtime: Runtime, bodies: Sequence[TransferCreate], *, trying: bool = False
) -> list[Outcome]:
    """Take studies into projects: all of them, or none when anything stands against one.

    Parameters
    ----------
    trying
        None of them in any case: only find out what would become of them.
    """
    outcomes: list[Outcome] = []
    try:
        async with runtime.ledger.transaction() as connection:
            outcomes = await _request(connection, person, runtime, bodies)
            if trying or any(isinstance(one, ProblemError) for one in outcomes):
                raise _BackError
    except _BackError:
        return outcomes
    made = [one for one in outcomes if isinstance(one, TransferRead)]
    await nudge_requested(runtime, [one.id for one in made])
    return outcomes


async def undo(person: Person, runtime: Runtime, transfer_id: int) -> None:
    """Take an assignment back of which nothing has been sent.

    Whoever assigns may undo what people assigned; what a rule or a list took is for those to stop
    who correct.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.transaction() as connection:
        found = await service.get(connection, transfer_id)
        if found.requested_by not in _BY_PEOPLE:
            project_id = await service.project_of(connection, found.project)
            person.require(Right.CORRECT, project_id, "transfer")
        await life.undo(connection, transfer_id, master_key)


async def _request(
    connection: Connection, person: Person, runtime: Runtime, bodies: Sequence[TransferCreate]
) -> list[Outcome]:
    master_key = await runtime.load_master_key()
    seen = await seen_by(person, connection, runtime)
    found: list[int | ProblemError] = []
    # All studies before any project, as everybody locks them.
    for body in bodies:
        try:
            await require_project(person, connection, Right.ASSIGN, body.project)
            found.append(await service.find_study(connection, body, seen))
        except ProblemError as error:
            found.append(error)
    outcomes: list[Outcome] = []
    for body, study in zip(bodies, found, strict=True):
        if isinstance(study, ProblemError):
            outcomes.append(study)
            continue
        try:
            made = await service.request(connection, body, master_key)
        except ProblemError as error:
            outcomes.append(error)
        else:
            outcomes.append(await service.get(connection, made))
    return outcomes
