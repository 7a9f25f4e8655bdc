"""Signs people in: by a password that Sluse keeps, or by one that the directory knows."""

import asyncio
from typing import Any

from sqlalchemy import delete, insert, select, update

from services.api.accounts import directory, hashing, sessions, throttle
from services.api.accounts.directory import DirectoryAwayError, Found
from services.api.accounts.groups import Groups
from shared import telemetry
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.auditing import Action, Actor, audit, is_reserved
from shared.ledger.tables import Account, GroupRole, Membership, core
from shared.people import ROLES, Role, Source, SystemRole
from shared.runtime import Runtime

log = telemetry.logger("accounts")

_account, _membership, _group_role = core(Account), core(Membership), core(GroupRole)
_RANK = (SystemRole.NONE, SystemRole.OPERATOR, SystemRole.ADMINISTRATOR)


class NotSignedInError(Exception):
    """The person is not signed in; the text says why, in words for the page.

    Parameters
    ----------
    status
        Of the HTTP answer.
    """

    def __init__(self, text: str, status: int = 401) -> None:
        super().__init__(text)
        self.status = status


WRONG = "This user name and password do not fit together."
BARRED = "Too many tries. Wait a quarter of an hour, or ask an administrator of Sluse."
AWAY = (
    "The hospital's directory does not answer. Try again in a while; accounts of Sluse itself "
    "still work."
)
RESERVED = (
    "Sluse can't have an account of your user name: its audit calls itself, or tokens, like that. "
    "Ask whoever gave you the name for another one."
)
NO_ROLE = "You are known, but nobody has given you anything to do in Sluse. Ask an administrator."


async def sign_in(runtime: Runtime, username: str, password: str, address: str) -> str:
    """Sign a person in; the secret of the new session.

    Raises
    ------
    NotSignedInError
        It is not to be.
    """
    username = username.strip().casefold()[:256]
    if not username.isprintable():
        username = ""  # nobody's, and nothing that a database would take
    counted = throttle.keys(await runtime.load_master_key(), username, address)
    async with runtime.ledger.transaction() as connection:
        barred = await throttle.is_barred(connection, counted)
    if barred:
        raise NotSignedInError(BARRED, 429)
    async with runtime.ledger.reading() as connection:
        account = (
            await connection.execute(select(_account).where(_account.c.username == username))
        ).first()
    try:
        account_id = await _check(runtime, account, username, password)
    except DirectoryAwayError as error:
        log.warning("the directory does not answer", why=str(error))
        raise NotSignedInError(AWAY, 503) from None
    async with runtime.ledger.transaction() as connection:
        if account_id is not None:
            await throttle.succeeded(connection, counted)
            secret = await sessions.begin(connection, account_id)
            await _note_sign_in(connection, account_id)
        elif account is not None:  # what is no account's name may be a password
            await audit(connection, Action.SIGN_IN_FAILED, actor=Actor.NOBODY, account=account.id)
    if account_id is None:
        raise NotSignedInError(WRONG)
    return secret


async def _check(runtime: Runtime, account: Any, username: str, password: str) -> int | None:
    """Whose password it is; None when it is nobody's."""
    local = account is not None and account.source == Source.LOCAL
    if local or runtime.settings.ldap_url is None:
        kept = account.password_hash if account is not None and account.enabled else ""
        right = await hashing.fits(password[: hashing.LONGEST_PASSWORD], kept)
        return account.id if right else None
    found = await asyncio.to_thread(directory.check, runtime.settings, username, password)
    if found is None or (account is not None and not account.enabled):
        return None
    async with runtime.ledger.transaction() as connection:
        return await _welcome(connection, account, username, found, Source.LDAP)


async def sign_in_as(runtime: Runtime, username: str, found: Found) -> str:
    """Sign somebody in for whom the identity provider vouches; the secret of the new session.

    Raises
    ------
    NotSignedInError
        It is not to be.
    """
    username = username.strip().casefold()
    if not username.isprintable() or not 0 < len(username) <= 64:
        raise NotSignedInError("The identity provider does not say what your user name is.", 403)
    async with runtime.ledger.transaction() as connection:
        account = (
            await connection.execute(select(_account).where(_account.c.username == username))
        ).first()
        if account is not None and (account.source != Source.OIDC or not account.enabled):
            raise NotSignedInError(
                "There is an account of this name that you can't sign in to in this way.", 403
            )
        account_id = await _welcome(connection, account, username, found, Source.OIDC)
        secret = await sessions.begin(connection, account_id)
        await _note_sign_in(connection, account_id)
    return secret


async def _note_sign_in(connection: Connection, account_id: int) -> None:
    """By the account's user name: in the directory the person may be called otherwise by now."""
    named = select(_account.c.username).where(_account.c.id == account_id)
    actor = (await connection.execute(named)).scalar_one()
    await audit(connection, Action.SIGNED_IN, actor=actor, account=account_id)


async def _welcome(
    connection: Connection, account: Any, username: str, found: Found, source: Source
) -> int:
    """Note what the directory, or the provider, says of a person; the account's id."""
    if account is None:  # the same person by another name
        account = (
            await connection.execute(select(_account).where(_account.c.subject == found.subject))
        ).first()
        if account is not None and not account.enabled:
            raise NotSignedInError(WRONG)
    if account is not None and account.subject not in (None, found.subject):
        # The name was given to somebody else: what the first one may do is not theirs.
        log.warning("a user name belongs to another person now", account=account.id)
        raise NotSignedInError(WRONG)
    if account is None and is_reserved(username):
        raise NotSignedInError(RESERVED, 403)
    system_role, projects = await _roles(connection, found.groups)
    if account is None and system_role is SystemRole.NONE and not projects:
        raise NotSignedInError(NO_ROLE, 403)
    values = {
        "name": found.name, "source": source, "subject": found.subject,
        "directory_role": system_role,
    }  # fmt: skip
    if account is None:
        result = await connection.execute(
            insert(_account)
            .values(
                username=username[:64], password_hash="", system_role=SystemRole.NONE, language="",
                enabled=True, created_at=now(), **values,
            )
            .returning(_account.c.id)
        )  # fmt: skip
        account_id = int(result.scalar_one())
        await audit(connection, Action.ACCOUNT_CREATED, actor=Actor.DIRECTORY, account=account_id)
    else:
        account_id = account.id
        await connection.execute(
            update(_account).where(_account.c.id == account_id).values(**values)
        )
    await _replace_memberships(connection, account_id, projects)
    return account_id


async def _roles(connection: Connection, groups: Groups) -> tuple[SystemRole, dict[int, Role]]:
    """What a person's groups give: the highest role in the system, and in each project."""
    system, projects = SystemRole.NONE, dict[int, Role]()
    # Locked against who takes a role away: what is read here would outlive that.
    for row in await connection.execute(select(_group_role).with_for_update(read=True)):
        if not groups.have(row.group_name):
            continue
        if row.project_id is None:
            system = max(system, SystemRole(row.role), key=_RANK.index)
        else:
            before = projects.get(row.project_id, Role.VIEWER)
            projects[row.project_id] = max(before, Role(row.role), key=lambda one: len(ROLES[one]))
    return system, projects


async def _replace_memberships(
    connection: Connection, account_id: int, projects: dict[int, Role]
) -> None:
    await connection.execute(
        delete(_membership).where(
            _membership.c.account_id == account_id, _membership.c.by_directory
        )
    )
    for project_id, role in sorted(projects.items()):
        await connection.execute(
            insert(_membership).values(
                account_id=account_id, project_id=project_id, role=role, by_directory=True,
                created_at=now(),
            )
        )  # fmt: skip
