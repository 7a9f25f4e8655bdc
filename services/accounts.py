"""`sluse account …`: people who sign in, entered on the machine itself.

For the first administrator where the web page can't be reached from there (a container), and for
the day on which nobody remembers a password.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer
from pydantic import SecretStr, ValidationError
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from services import standalone
from services.api.accounts import service
from services.api.accounts.schemas import AccountChange, AccountCreate
from services.api.problems import ProblemError
from shared import telemetry
from shared.errors import Retry, StartError
from shared.ledger import Ledger
from shared.ledger.auditing import ACTOR, Actor
from shared.ledger.schema import require_current
from shared.ledger.tables import Account
from shared.people import SystemRole
from shared.settings import Settings


def add(username: str, name: str, password: str, role: SystemRole, data: Path | None) -> None:
    """Enter a person."""
    try:
        body = AccountCreate(
            username=username, name=name, password=SecretStr(password), system_role=role
        )
    except ValidationError as error:
        sys.exit(f"Not entered: {error.errors()[0]['msg'].removeprefix('Value error, ')}.")

    async def work(session: AsyncSession) -> str:
        account = await service.create(session, body)
        return f"{account.username} may sign in."

    _run(work, data)


def give_password(username: str, password: str, data: Path | None) -> None:
    """Give a person another password, let them in again, and end their sessions."""
    try:
        body = AccountChange(password=SecretStr(password), enabled=True)
    except ValidationError as error:
        sys.exit(f"Not changed: {error.errors()[0]['msg'].removeprefix('Value error, ')}.")

    async def work(session: AsyncSession) -> str:
        found = await session.exec(select(Account).where(Account.username == username.casefold()))
        account = found.first()
        if account is None:
            sys.exit(f"There is no account {username}.")
        await service.change(session, account.id or 0, body)
        return f"{account.username} has a new password."

    _run(work, data)


def _run(work: Callable[[AsyncSession], Awaitable[str]], data: Path | None) -> None:
    try:
        settings = Settings() if data is None else standalone.settings(data, None, None)
    except ValidationError as error:
        sys.exit(f"The settings can't be used: {error.errors()[0]['msg']}")
    telemetry.configure_logging(settings)
    standalone.keep_private()
    ACTOR.set(Actor.COMMAND_LINE)

    async def run() -> str:
        ledger = Ledger(settings)
        try:
            await require_current(ledger)
            async with ledger.session() as session:
                return await work(session)
        finally:
            await ledger.close()

    try:
        typer.echo(asyncio.run(run()))
    except ProblemError as error:
        problem = error.problem
        sys.exit(problem.errors[0].message if problem.errors else problem.title)
    except (Retry, StartError, OSError) as error:
        sys.exit(f"The database can't be used: {error}")
