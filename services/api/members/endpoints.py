"""`/projects/…/members`: who works in a project."""

from typing import Annotated

from fastapi import Path, Response

from services.api.accounts.schemas import USERNAME
from services.api.dependencies import RuntimeDep
from services.api.members import service
from services.api.members.schemas import MemberRead, MemberWrite
from services.api.problems import responses
from services.api.projects.endpoints import Code
from services.api.routes import resource

router = resource("/projects/{code}/members", "people")

Username = Annotated[
    str, Path(max_length=64, pattern=f"(?i)^{USERNAME}$", description="The person's user name.")
]


@router.get("", responses=responses(404, 422))
async def list_members(code: Code, runtime: RuntimeDep) -> list[MemberRead]:
    """List who works in the project."""
    async with runtime.ledger.session() as session:
        return await service.every(session, code, runtime.settings)


@router.put("/{username}", responses=responses(404, 409, 422))
async def put_member(
    code: Code, username: Username, body: MemberWrite, runtime: RuntimeDep
) -> MemberRead:
    """Give a person a role in the project, or another one."""
    async with runtime.ledger.session() as session:
        return await service.put(session, code, username, body)


@router.delete("/{username}", status_code=204, responses=responses(404, 409, 422))
async def remove_member(code: Code, username: Username, runtime: RuntimeDep) -> Response:
    """Take a person out of the project. What the directory gives, the directory takes."""
    async with runtime.ledger.session() as session:
        await service.remove(session, code, username)
    return Response(status_code=204)
