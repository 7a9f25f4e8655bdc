"""Reads and writes accounts."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api import repeating
from services.api.accounts import hashing, sessions
from services.api.accounts.schemas import (
    AccountChange,
    AccountCreate,
    GroupRoleCreate,
    GroupRoleRead,
    Own,
    OwnPassword,
)
from services.api.problems import not_found, rule_broken, settled, taken
from services.api.rights.person import Person
from shared.ledger.auditing import Action, audit, is_reserved
from shared.ledger.tables import (
    Account,
    ApiToken,
    GroupRole,
    Membership,
    Project,
    WebSession,
    core,
)
from shared.people import Role, Source, SystemRole


class Wanted(NamedTuple):
    """Which accounts are meant; what is left out does not matter."""

    text: str = ""
    """Stands somewhere in the name or the user name."""
    system_role: SystemRole | None = None
    """Given by a person or by a group."""
    enabled: bool | None = None


async def every(
    session: AsyncSession,
    wanted: Wanted | None = None,
    *,
    after: str = "",
    limit: int | None = None,
) -> list[Account]:
    """Accounts by user name, those after a user name."""
    beyond = col(Account.username) > _storable(after)
    query = select(Account).where(*_fitting(wanted or Wanted()), beyond)
    return list(await session.exec(query.order_by(col(Account.username)).limit(limit)))


async def count(session: AsyncSession, wanted: Wanted) -> int:
    """How many accounts are meant."""
    query = select(func.count()).select_from(Account).where(*_fitting(wanted))
    return (await session.exec(query)).one()


def _fitting(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if text := _storable(wanted.text.strip()):
        # SQLite compares letters beyond ASCII as they are written.
        ways = {text, text.casefold(), text.upper(), text.title()}
        found.append(
            or_(
                col(Account.username).contains(text.casefold(), autoescape=True),
                *(col(Account.name).icontains(one, autoescape=True) for one in sorted(ways)),
            )
        )
    if wanted.system_role is not None:
        found.append(_highest_is(wanted.system_role))
    if wanted.enabled is not None:
        found.append(col(Account.enabled).is_(wanted.enabled))
    return found


def _storable(text: str) -> str:
    """Without what PostgreSQL has no text for, so that no name has it."""
    return text.replace("\0", "")


def _highest_is(role: SystemRole) -> ColumnElement[bool]:
    """A role, by whomever it was given; no role is only what has neither."""
    own, given = col(Account.system_role) == role, col(Account.directory_role) == role
    return own & given if role is SystemRole.NONE else own | given


async def get(session: AsyncSession, account_id: int, *, lock: bool = False) -> Account:
    """One account; a 404 problem when there is none."""
    found = await session.get(Account, account_id, with_for_update=lock)
    if found is None:
        raise not_found("account")
    return found


async def create(session: AsyncSession, body: AccountCreate) -> Account:
    """Enter a person; a problem when the user name is taken, or nobody could sign in at all."""
    if body.system_role is not SystemRole.ADMINISTRATOR and not await _administrators(session):
        # From the first account on everybody signs in.
        raise rule_broken("system_role", "The first account is an administrator's.")
    if is_reserved(body.username):
        raise rule_broken("username", "Sluse calls itself so in its audit: choose another one.")
    values = body.model_dump(exclude={"password"})
    account = Account(**values, source=Source.LOCAL if body.password else Source.LDAP)
    if body.password is not None:
        account.password_hash = await hashing.hashed(body.password.get_secret_value())
    elif not await _administrators(session):
        raise rule_broken("password", "The first account has a password here.")
    session.add(account)
    try:
        await session.flush()
    except IntegrityError:
        raise taken("username", "Somebody else has this user name.") from None
    connection = await session.connection()
    await audit(connection, Action.ACCOUNT_CREATED, account=account.id)
    return account


async def change(session: AsyncSession, account_id: int, body: AccountChange) -> Account:
    """Change what `body` names of an account."""
    account = await get(session, account_id)
    before = _state(account)
    account.sqlmodel_update(body.model_dump(exclude_unset=True, exclude={"password"}))
    if body.password is not None:
        if account.source != Source.LOCAL:
            raise rule_broken("password", "The directory has this person's password.")
        account.password_hash = await hashing.hashed(body.password.get_secret_value())
    session.add(account)
    await session.flush()
    if not await _administrators(session):
        raise settled("system_role", "Somebody must be an administrator.")
    connection = await session.connection()
    if body.password is not None or not account.enabled:
        await sessions.end_all(connection, account_id)
        await _revoke_all(connection, account_id)
    await audit(
        connection, Action.ACCOUNT_CHANGED, account=account_id, before=before, after=_state(account)
    )
    return account


async def remove(session: AsyncSession, account_id: int) -> None:
    """Remove a person, and everything that shows who they are; the audit keeps the user name."""
    account = await get(session, account_id)
    connection = await session.connection()
    for table in (Membership, WebSession, ApiToken):
        await connection.execute(delete(core(table)).where(core(table).c.account_id == account_id))
    await repeating.forget_person(connection, account_id)
    await session.delete(account)
    await session.flush()
    if not await _administrators(session):
        raise settled("id", "Somebody must be an administrator.")
    await audit(connection, Action.ACCOUNT_REMOVED, account=account_id)


async def change_password(session: AsyncSession, account_id: int, body: OwnPassword) -> None:
    """Give oneself a new password; a problem when the old one is wrong."""
    account = await get(session, account_id)
    if account.source != Source.LOCAL:
        raise rule_broken("old", "Your password is changed where you have it from.")
    if not await hashing.fits(body.old.get_secret_value(), account.password_hash):
        raise rule_broken("old", "This is not your password.")
    account.password_hash = await hashing.hashed(body.new.get_secret_value())
    session.add(account)
    connection = await session.connection()
    await sessions.end_all(connection, account_id)
    await _revoke_all(connection, account_id)
    await audit(connection, Action.PASSWORD_CHANGED, account=account_id)


async def own(session: AsyncSession, person: Person) -> Own:
    """Who somebody is here, and what they may do."""
    projects = await session.exec(select(Project).where(col(Project.id).in_(list(person.projects))))
    return Own(
        username=person.actor if person.account_id else None,
        name=person.name,
        language=person.language,
        rights=sorted(person.system | person.everywhere),
        projects={
            project.code: sorted(person.projects[project.id]) for project in projects if project.id
        },
    )


async def group_roles(session: AsyncSession) -> list[GroupRoleRead]:
    """What groups of the directory may do, by their names."""
    rows = await session.exec(
        select(GroupRole, Project.code)
        .join(Project, isouter=True)
        .order_by(col(GroupRole.group_name), col(Project.code))
    )
    return [
        GroupRoleRead(
            id=row.id or 0, group_name=row.group_name, project=code or None, role=row.role
        )
        for row, code in rows
    ]


async def create_group_role(session: AsyncSession, body: GroupRoleCreate) -> GroupRoleRead:
    """Enter what a group may do; it counts when its members sign in next."""
    project_id = None
    if body.project is not None:
        project = (await session.exec(select(Project).where(Project.code == body.project))).first()
        if project is None:
            raise rule_broken("project", "There is no such project.")
        project_id = project.id
    kind: type[Role | SystemRole] = SystemRole if body.project is None else Role
    if not body.role or body.role.value not in {one.value for one in kind}:
        if kind is SystemRole:
            raise rule_broken("role", "This is not a role of the system.")
        raise rule_broken("role", "This is not a role in a project.")
    same = select(GroupRole).where(
        GroupRole.group_name == body.group_name, col(GroupRole.project_id) == project_id
    )
    if project_id is None:
        same = select(GroupRole).where(
            GroupRole.group_name == body.group_name, col(GroupRole.project_id).is_(None)
        )
    if (await session.exec(same)).first():
        raise taken("group_name", "This group has a role there.")
    row = GroupRole(group_name=body.group_name, project_id=project_id, role=body.role.value)
    session.add(row)
    await session.flush()
    await audit(await session.connection(), Action.GROUP_ROLE_CREATED, group_role=row.id,
                project=project_id, role=row.role)  # fmt: skip
    return GroupRoleRead(
        id=row.id or 0, group_name=row.group_name, project=body.project, role=row.role
    )


async def remove_group_role(session: AsyncSession, group_role_id: int) -> None:
    """A group has no role any more. What groups gave in its place ends now for everybody; those
    whom another group gives the same have it back when they sign in next.
    """
    row = await session.get(GroupRole, group_role_id)
    if row is None:
        raise not_found("group role")
    await session.delete(row)
    connection = await session.connection()
    account, membership = core(Account), core(Membership)
    if row.project_id is None:
        await connection.execute(
            update(account)
            .where(account.c.directory_role == row.role)
            .values(directory_role=SystemRole.NONE)
        )
    else:
        await connection.execute(
            delete(membership).where(
                membership.c.project_id == row.project_id, membership.c.by_directory
            )
        )
    await audit(await session.connection(), Action.GROUP_ROLE_REMOVED, group_role=group_role_id)


async def _administrators(session: AsyncSession) -> int:
    """How many people can sign in and give others their rights, whatever becomes of directories."""
    found = await session.exec(
        select(Account.id)
        .where(
            Account.system_role == SystemRole.ADMINISTRATOR,
            col(Account.enabled),
            Account.source == Source.LOCAL,
        )
        .order_by(col(Account.id))
        .with_for_update()  # or two of them demote each other
    )
    return len(found.all())


async def _revoke_all(connection: AsyncConnection, account_id: int) -> None:
    """Whoever knew the password may have made tokens."""
    token = core(ApiToken)
    await connection.execute(delete(token).where(token.c.account_id == account_id))


def _state(account: Account) -> dict[str, object]:
    return {"system_role": account.system_role, "enabled": account.enabled}
