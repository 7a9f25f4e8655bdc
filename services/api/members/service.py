"""Reads and writes who works in a project."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.members.schemas import MemberRead, MemberWrite
from services.api.problems import not_found, settled
from services.api.projects import service as projects
from services.api.rights.knowing import groups_count
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import Account, Membership
from shared.people import Role
from shared.settings import Settings


async def every(session: AsyncSession, code: str, settings: Settings) -> list[MemberRead]:
    """The members of a project, by user name."""
    project = await projects.get(session, code)
    rows = await session.exec(
        select(Account, Membership)
        .where(Membership.account_id == Account.id, Membership.project_id == project.id)
        .order_by(col(Account.username), col(Membership.by_directory))
    )
    return [
        _read(
            account,
            membership,
            counts=not membership.by_directory or groups_count(account.signed_in_at, settings),
        )
        for account, membership in rows
    ]


async def put(session: AsyncSession, code: str, username: str, body: MemberWrite) -> MemberRead:
    """Give a person a role in a project, or another one."""
    project = await projects.get(session, code)
    account = await _account(session, username)
    membership = await _membership(session, account, project.id)
    before = membership.role if membership else None
    if membership is None:
        membership = Membership(account_id=account.id or 0, project_id=project.id or 0, role="")
    membership.role = body.role
    session.add(membership)
    await session.flush()
    await _require_an_owner(session, project.id, before)
    await audit(
        await session.connection(), Action.MEMBER_CHANGED, project=project.id, account=account.id,
        before={"role": before}, after={"role": body.role},
    )  # fmt: skip
    return _read(account, membership)


async def remove(session: AsyncSession, code: str, username: str) -> None:
    """A person does not work in a project any more."""
    project = await projects.get(session, code)
    account = await _account(session, username)
    membership = await _membership(session, account, project.id)
    if membership is None:
        raise not_found("member")
    await session.delete(membership)
    await session.flush()
    await _require_an_owner(session, project.id, membership.role)
    await audit(
        await session.connection(), Action.MEMBER_REMOVED, project=project.id, account=account.id,
        before={"role": membership.role},
    )  # fmt: skip


async def _require_an_owner(
    session: AsyncSession, project_id: int | None, before: str | None
) -> None:
    """The last owner can't be taken from a project: only an administrator could mend that."""
    if before != Role.OWNER:
        return
    owners = await session.exec(
        select(Membership.id)
        .where(Membership.project_id == project_id, Membership.role == Role.OWNER)
        .with_for_update()
    )
    if not owners.all():
        raise settled("role", "A project has an owner: make somebody else one first.")


async def _account(session: AsyncSession, username: str) -> Account:
    found = await session.exec(select(Account).where(Account.username == username.casefold()))
    account = found.first()
    if account is None:
        raise not_found("account")
    return account


async def _membership(
    session: AsyncSession, account: Account, project_id: int | None
) -> Membership | None:
    """What a person has given; what the directory gives is not touched."""
    found = await session.exec(
        select(Membership).where(
            Membership.account_id == account.id,
            Membership.project_id == project_id,
            ~col(Membership.by_directory),
        )
    )
    return found.first()


def _read(account: Account, membership: Membership, *, counts: bool = True) -> MemberRead:
    return MemberRead(
        username=account.username,
        name=account.name,
        role=Role(membership.role),
        by_directory=membership.by_directory,
        counts=counts,
    )
