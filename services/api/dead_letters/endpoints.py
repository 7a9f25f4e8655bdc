"""`/dead-letters`: messages that nobody could handle."""

from typing import Annotated

from fastapi import Query

from services.api.dead_letters import service
from services.api.dead_letters.schemas import DeadLetterRead, Discard
from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from shared.ledger.states import DeadLetterState

router = resource("/dead-letters", "dead letters")

State = Annotated[
    DeadLetterState | None, Query(description="Only those of which people have made this.")
]


@router.get("", responses=responses(422))
async def list_dead_letters(
    runtime: RuntimeDep, state: State = None, limit: Limit = 50, after: After = None
) -> Page[DeadLetterRead]:
    """List dead letters, the newest first."""
    async with runtime.ledger.reading() as connection:
        return await service.list_page(connection, state, limit, after)


@router.get("/{dead_letter_id}", responses=responses(404, 422))
async def read_dead_letter(dead_letter_id: PathId, runtime: RuntimeDep) -> DeadLetterRead:
    """Read one dead letter."""
    async with runtime.ledger.reading() as connection:
        return await service.read(connection, dead_letter_id)


@router.post("/{dead_letter_id}/retry", responses=responses(404, 409, 422))
async def retry_dead_letter(
    dead_letter_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> DeadLetterRead:
    """Send the message again. If nobody can handle it still, it comes back as another dead letter.

    Images that were held or failed over it wait for a person at their transfer: retry that.
    """
    return await service.retry(runtime, dead_letter_id, person.actor)


@router.post("/{dead_letter_id}/discard", responses=responses(404, 409, 422))
async def discard_dead_letter(
    dead_letter_id: PathId, body: Discard, person: PersonDep, runtime: RuntimeDep
) -> DeadLetterRead:
    """Say that the message is not needed, and why. It stays in the list."""
    async with runtime.ledger.transaction() as connection:
        return await service.discard(connection, dead_letter_id, body.reason, person.actor)
