"""`/accounts`, `/account` and `/group-roles`: people, and what groups of the directory may do."""

from typing import Annotated

from fastapi import Query, Response

from services.api.accounts import service
from services.api.accounts.schemas import (
    AccountChange,
    AccountCreate,
    AccountRead,
    GroupRoleCreate,
    GroupRoleRead,
    Own,
    OwnChange,
    OwnPassword,
)
from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import not_found, responses
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person, require_browser
from services.api.routes import resource
from services.api.tokens import service as tokens
from services.api.tokens.schemas import TokenRead
from services.api.versions import IfMatch, require_version
from shared.ledger.tables import Account
from shared.people import SystemRole

router = resource("", "people")


@router.get("/accounts", responses=responses(422))
async def list_accounts(
    runtime: RuntimeDep,
    search: Annotated[
        str, Query(max_length=64, description="What stands in the name or the user name.")
    ] = "",
    system_role: Annotated[
        SystemRole | None, Query(description="In the whole system, by whomever it was given.")
    ] = None,
    enabled: Annotated[bool | None, Query(description="Whether they may sign in.")] = None,
) -> list[AccountRead]:
    """List everybody who may sign in, or those who are meant."""
    wanted = service.Wanted(search, system_role, enabled)
    async with runtime.ledger.session() as session:
        return [AccountRead.model_validate(row) for row in await service.every(session, wanted)]


@router.post("/accounts", status_code=201, responses=responses(409, 422))
async def create_account(body: AccountCreate, runtime: RuntimeDep) -> AccountRead:
    """Enter a person. From the first account on, an administrator's, everybody signs in."""
    async with runtime.ledger.session() as session:
        return AccountRead.model_validate(await service.create(session, body))


@router.get("/accounts/{account_id}", responses=responses(404, 422))
async def read_account(account_id: PathId, runtime: RuntimeDep) -> AccountRead:
    """Read one account."""
    async with runtime.ledger.session() as session:
        return AccountRead.model_validate(await service.get(session, account_id))


@router.patch("/accounts/{account_id}", responses=responses(404, 409, 412, 422))
async def change_account(
    account_id: PathId, body: AccountChange, runtime: RuntimeDep, if_match: IfMatch = None
) -> AccountRead:
    """Change an account: its role, a new password, whether the person may sign in."""
    async with runtime.ledger.session() as session:
        account = await service.get(session, account_id, lock=True)
        require_version(if_match, AccountRead.model_validate(account))
        return AccountRead.model_validate(await service.change(session, account_id, body))


@router.delete("/accounts/{account_id}", status_code=204, responses=responses(404, 409, 422))
async def delete_account(account_id: PathId, runtime: RuntimeDep) -> Response:
    """Remove a person: their sessions, tokens and memberships end at once."""
    async with runtime.ledger.session() as session:
        await service.remove(session, account_id)
    return Response(status_code=204)


@router.get("/accounts/{account_id}/tokens", responses=responses(404, 422))
async def list_account_tokens(account_id: PathId, runtime: RuntimeDep) -> list[TokenRead]:
    """List a person's tokens, the newest first."""
    async with runtime.ledger.session() as session:
        await service.get(session, account_id)
        return await tokens.of_account(session, account_id)


@router.delete(
    "/accounts/{account_id}/tokens/{token_id}", status_code=204, responses=responses(404, 422)
)
async def revoke_account_token(
    account_id: PathId, token_id: PathId, runtime: RuntimeDep
) -> Response:
    """Take a token away from a person; it ends at once."""
    async with runtime.ledger.session() as session:
        await tokens.take_away(session, account_id, token_id)
    return Response(status_code=204)


@router.get("/account")
async def read_own_account(person: PersonDep, runtime: RuntimeDep) -> Own:
    """Say who one is here, and what one may do."""
    async with runtime.ledger.session() as session:
        return await service.own(session, person)


@router.patch("/account", responses=responses(404, 422))
async def change_own_account(body: OwnChange, person: PersonDep, runtime: RuntimeDep) -> Own:
    """Change one's own name or language."""
    async with runtime.ledger.session() as session:
        account: Account = await service.get(session, _own_id(person))
        account.sqlmodel_update(body.model_dump(exclude_unset=True))
        session.add(account)
        return await service.own(session, person)


@router.post("/account/password", status_code=204, responses=responses(404, 422))
async def change_own_password(
    body: OwnPassword, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Change one's own password; every browser must sign in again."""
    async with runtime.ledger.session() as session:
        await service.change_password(session, _own_id(person), body)
    return Response(status_code=204)


@router.get("/group-roles")
async def list_group_roles(runtime: RuntimeDep) -> list[GroupRoleRead]:
    """List what groups of the directory may do."""
    async with runtime.ledger.session() as session:
        return await service.group_roles(session)


@router.post("/group-roles", status_code=201, responses=responses(409, 422))
async def create_group_role(body: GroupRoleCreate, runtime: RuntimeDep) -> GroupRoleRead:
    """Say what the members of a group may do; it counts when they sign in next."""
    async with runtime.ledger.session() as session:
        return await service.create_group_role(session, body)


@router.delete("/group-roles/{group_role_id}", status_code=204, responses=responses(404, 422))
async def delete_group_role(group_role_id: PathId, runtime: RuntimeDep) -> Response:
    """Take a role from a group; it ends when the members sign in next."""
    async with runtime.ledger.session() as session:
        await service.remove_group_role(session, group_role_id)
    return Response(status_code=204)


def _own_id(person: Person) -> int:
    if person.account_id is None:
        raise not_found("account")
    require_browser(person)
    return person.account_id
