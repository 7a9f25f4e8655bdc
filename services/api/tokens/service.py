"""Makes tokens and takes them away."""

from datetime import timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.accounts.hashing import digest, new_secret
from services.api.problems import ProblemError, not_found, rule_broken
from services.api.rights.person import Person, require_browser
from services.api.tokens.schemas import TokenCreate, TokenMade, TokenRead
from shared.clock import now
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import ApiToken, Project
from shared.people import SYSTEM_RIGHTS

PREFIX = "sluse_"
"""By which scanners recognise one that has leaked."""
_HINT = 4  # characters
_MOST = 50  # of one person


async def every(session: AsyncSession, person: Person) -> list[TokenRead]:
    """One's own tokens, the newest first."""
    return await of_account(session, person.account_id)


async def of_account(session: AsyncSession, account_id: int | None) -> list[TokenRead]:
    """A person's tokens, the newest first."""
    rows = await session.exec(
        select(ApiToken, Project.code)
        .join(Project, isouter=True)
        .where(ApiToken.account_id == account_id)
        .order_by(col(ApiToken.id).desc())
    )
    return [_read(token, code) for token, code in rows]


async def create(session: AsyncSession, person: Person, body: TokenCreate) -> TokenMade:
    """Make a token; a problem when it could do more than the person."""
    if person.account_id is None:
        raise ProblemError(409, "There are no accounts yet, so there is nobody to show.")
    require_browser(person)
    if len(await every(session, person)) >= _MOST:
        raise rule_broken("name", f"You have {_MOST} tokens: revoke those that nobody uses.")
    project = None
    if body.project is not None:
        project = (await session.exec(select(Project).where(Project.code == body.project))).first()
        if project is None or (not person.projects.get(project.id or 0) and not person.everywhere):
            raise rule_broken("project", "There is no such project.")
    for right in body.rights:
        if project is not None and right in SYSTEM_RIGHTS:
            raise rule_broken("rights", f"The right {right.value} is not one in a project.")
        held = person.may(right, project.id) if project else person.may_somewhere(right)
        if not held:
            raise rule_broken("rights", f"You do not have the right {right.value} yourself.")
    secret = PREFIX + new_secret()
    row = ApiToken(
        account_id=person.account_id,
        name=body.name,
        secret_hash=digest(secret),
        hint=secret[-_HINT:],
        rights=sorted(set(body.rights)),
        project_id=project.id if project else None,
        expires_at=now() + timedelta(days=body.days),
    )
    session.add(row)
    await session.flush()
    await audit(await session.connection(), Action.TOKEN_CREATED, token=row.id)
    read = _read(row, project.code if project else None)
    return TokenMade(**read.model_dump(), token=secret)


async def revoke(session: AsyncSession, person: Person, token_id: int) -> None:
    """Take one of one's own tokens away."""
    require_browser(person)
    await take_away(session, person.account_id, token_id)


async def take_away(session: AsyncSession, account_id: int | None, token_id: int) -> None:
    """Take one of a person's tokens away; a 404 problem when it is none of theirs."""
    row = await session.get(ApiToken, token_id)
    if row is None or account_id is None or row.account_id != account_id:
        raise not_found("token")
    await session.delete(row)
    await audit(
        await session.connection(), Action.TOKEN_REVOKED, token=token_id, account=account_id
    )


def _read(token: ApiToken, project: str | None) -> TokenRead:
    return TokenRead.model_validate(token.model_dump() | {"project": project})
