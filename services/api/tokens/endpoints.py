"""`/tokens`: what other systems show in a person's place."""

from fastapi import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.tokens import service
from services.api.tokens.schemas import TokenCreate, TokenMade, TokenRead

router = resource("/tokens", "people")


@router.get("")
async def list_tokens(person: PersonDep, runtime: RuntimeDep) -> list[TokenRead]:
    """List one's own tokens."""
    async with runtime.ledger.session() as session:
        return await service.every(session, person)


@router.post("", status_code=201, responses=responses(409, 422))
async def create_token(body: TokenCreate, person: PersonDep, runtime: RuntimeDep) -> TokenMade:
    """Make a token for another system. It does no more than its owner may, and expires."""
    async with runtime.ledger.session() as session:
        return await service.create(session, person, body)


@router.delete("/{token_id}", status_code=204, responses=responses(404, 422))
async def revoke_token(token_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Take a token away; it ends at once."""
    async with runtime.ledger.session() as session:
        await service.revoke(session, person, token_id)
    return Response(status_code=204)
