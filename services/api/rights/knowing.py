"""Who sends a request: a token, a session, or, before there are accounts, this machine."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, select, update
from starlette.requests import Request

from services.api.accounts import sessions
from services.api.accounts.hashing import digest
from services.api.accounts.sessions import Signer
from services.api.rights.person import EVERYBODY_HERE, Person
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.tables import Account, ApiToken, Membership, core
from shared.people import EVERYWHERE, ROLES, SYSTEM_ROLES, Right, Role, SystemRole
from shared.runtime import Runtime
from shared.settings import Settings

_account, _membership, _token = core(Account), core(Membership), core(ApiToken)
_HERE = ("127.0.0.1", "::1")


async def who(request: Request, runtime: Runtime, signer: Signer) -> Person | None:
    """Who sends a request; None when nobody knows."""
    token = _bearer(request)
    if token is not None:
        return await _by_token(runtime, token)
    secret = signer.secret_of(request)
    if secret is not None:
        found = await _by_session(runtime, secret)
        if found is not None:
            return found
    return EVERYBODY_HERE if await _is_open(request, runtime) else None


async def person_of(
    connection: Connection, account_id: int, settings: Settings, *, by_cookie: bool
) -> Person | None:
    """What somebody with an account is and may do; None when the account is gone or closed."""
    row = (
        await connection.execute(
            select(_account).where(_account.c.id == account_id, _account.c.enabled)
        )
    ).first()
    if row is None:
        return None
    wanted = select(_membership.c.project_id, _membership.c.role).where(
        _membership.c.account_id == account_id
    )
    roles = [SystemRole(row.system_role)]
    if groups_count(row.signed_in_at, settings):
        roles.append(SystemRole(row.directory_role))
    else:
        wanted = wanted.where(~_membership.c.by_directory)
    memberships = await connection.execute(wanted)
    projects: dict[int, frozenset[Right]] = {}
    for project_id, role in memberships:
        projects[project_id] = projects.get(project_id, frozenset()) | ROLES[Role(role)]
    return Person(
        actor=row.username,
        account_id=row.id,
        name=row.name or row.username,
        language=row.language,
        system=frozenset().union(*(SYSTEM_ROLES[one] for one in roles)),
        everywhere=frozenset().union(*(EVERYWHERE[one] for one in roles)),
        projects=projects,
        by_cookie=by_cookie,
    )


def groups_count(signed_in_at: datetime | None, settings: Settings) -> bool:
    """Whether what the directory said of somebody's groups when they signed in still counts.

    Whoever signs in has it said anew. Of those who do not, nobody knows what has become.
    """
    longest = timedelta(hours=settings.group_roles_hours)
    return signed_in_at is not None and signed_in_at > now() - longest


async def are_there_accounts(connection: Connection) -> bool:
    """Whether anybody has an account: from then on everybody signs in."""
    return bool(await connection.scalar(select(exists().where(_account.c.id > 0))))


def _bearer(request: Request) -> str | None:
    """The token in a request (RFC 6750 2.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _by_token(runtime: Runtime, token: str) -> Person | None:
    async with runtime.ledger.reading() as connection:
        row = (
            await connection.execute(
                select(_token).where(
                    _token.c.secret_hash == digest(token), _token.c.expires_at > now()
                )
            )
        ).first()
        if row is None:
            return None
        owner = await person_of(connection, row.account_id, runtime.settings, by_cookie=False)
    if owner is None:
        return None
    if row.used_at is None or (now() - row.used_at).total_seconds() > 60:
        async with runtime.ledger.transaction() as connection:
            await connection.execute(
                update(_token).where(_token.c.id == row.id).values(used_at=now())
            )
    return _narrowed(owner, row)


def _narrowed(owner: Person, token: Any) -> Person:
    """What a token may do: no more than its owner may now."""
    rights = frozenset(map(Right, token.rights))
    if token.project_id is None:
        projects = {one: held & rights for one, held in owner.projects.items()}
        everywhere = owner.everywhere & rights
    else:
        held = owner.projects.get(token.project_id, frozenset()) | owner.everywhere
        projects, everywhere = {token.project_id: held & rights}, frozenset()
        rights = frozenset()  # of the system: it reaches one project
    return Person(
        actor=f"{owner.actor} ({token.name})"[:64],
        account_id=owner.account_id,
        token_id=token.id,
        name=owner.name,
        system=owner.system & rights,
        everywhere=everywhere,
        projects=projects,
    )


async def _by_session(runtime: Runtime, secret: str) -> Person | None:
    async with runtime.ledger.reading() as connection:
        found = await sessions.account_of(connection, secret)
        if found is None:
            return None
        account_id, to_be_noted = found
        person = await person_of(connection, account_id, runtime.settings, by_cookie=True)
    if person is not None and to_be_noted:
        async with runtime.ledger.transaction() as connection:
            await sessions.note_use(connection, secret)
    return person


async def _is_open(request: Request, runtime: Runtime) -> bool:
    """Whether it comes from this machine, and nobody has an account yet."""
    behind_a_proxy = runtime.settings.https
    if request.app.state.has_accounts or behind_a_proxy or not _comes_from_here(request):
        return False
    async with runtime.ledger.reading() as connection:
        request.app.state.has_accounts = await are_there_accounts(connection)
    return not request.app.state.has_accounts


def _comes_from_here(request: Request) -> bool:
    """Not through a proxy on this machine, which speaks for others."""
    forwarded = any(
        name.startswith("x-forwarded") or name in ("forwarded", "x-real-ip", "via")
        for name in request.headers
    )
    return request.client is not None and request.client.host in _HERE and not forwarded
