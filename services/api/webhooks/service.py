"""Reads and writes webhooks."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import delete, func, insert
from sqlalchemy import select as core_select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.accounts.hashing import new_secret
from services.api.paging import Page, newest_first, page_of
from services.api.problems import not_found, rule_broken
from services.api.rights.person import Person, refused
from services.api.webhooks.addresses import AddressError, check
from services.api.webhooks.posting import post
from services.api.webhooks.queue import (
    LEASE,
    Due,
    Hook,
    give_up,
    give_up_all,
    taken,
)
from services.api.webhooks.schemas import (
    WebhookChange,
    WebhookCreate,
    WebhookDeliveryRead,
    WebhookMade,
    WebhookRead,
)
from services.api.webhooks.signing import PREFIX
from shared.clock import now
from shared.identity import MasterKey
from shared.ledger.auditing import Action, audit
from shared.ledger.states import WEBHOOK_TEST, WebhookDeliveryState, WebhookEvent
from shared.ledger.tables import Project, Webhook, WebhookDelivery, core
from shared.ledger.telling import rows
from shared.people import Right
from shared.runtime import Runtime
from shared.settings import Settings

_MOST = 20  # of one project, and of the whole system
_delivery = core(WebhookDelivery)


async def every(session: AsyncSession, person: Person) -> list[WebhookRead]:
    """The webhooks that a person may change, by number."""
    found = await session.exec(
        select(Webhook, Project.code).join(Project, isouter=True).order_by(col(Webhook.id))
    )
    seen = [(row, code) for row, code in found if _may(person, row.project_id)]
    known = await _known(session, [row.id or 0 for row, _ in seen])
    return [_read(row, code, known) for row, code in seen]


async def get(
    session: AsyncSession, person: Person, webhook_id: int, *, lock: bool = False
) -> Webhook:
    """One webhook; a 404 problem when there is none that the person may change."""
    found = await session.get(Webhook, webhook_id, with_for_update=lock)
    if found is None or not _may(person, found.project_id):
        raise not_found("webhook")
    return found


async def read(session: AsyncSession, row: Webhook) -> WebhookRead:
    """A webhook as it is shown."""
    project = await session.get(Project, row.project_id) if row.project_id is not None else None
    return _read(row, project.code if project else None, await _known(session, [row.id or 0]))


async def create(
    session: AsyncSession,
    person: Person,
    body: WebhookCreate,
    settings: Settings,
    master_key: MasterKey,
) -> WebhookMade:
    """Enter a webhook; a problem when the person may not, or the address is none for it."""
    project_id = await _project(session, person, body.project)
    _check(body.url, body.events, settings, project_id)
    same = select(func.count()).where(col(Webhook.project_id).is_not_distinct_from(project_id))
    if (await session.exec(same)).one() >= _MOST:
        raise rule_broken("name", f"There are {_MOST} webhooks: remove those that nobody needs.")
    secret = PREFIX + new_secret()
    row = Webhook(
        project_id=project_id,
        name=body.name,
        url=body.url,
        events=sorted(set(body.events)),
        secret=master_key.encrypt(secret.encode()),
        enabled=body.enabled,
    )
    session.add(row)
    await session.flush()
    await audit(
        await session.connection(), Action.WEBHOOK_CREATED, webhook=row.id, project=project_id
    )
    return WebhookMade(**_read(row, body.project, _Known({}, {})).model_dump(), secret=secret)


async def change(
    session: AsyncSession, row: Webhook, body: WebhookChange, settings: Settings
) -> WebhookRead:
    """Change what `body` names of a webhook."""
    given = body.model_dump(exclude_unset=True)
    if "events" in given:
        given["events"] = sorted(set(given["events"]))
    row.sqlmodel_update(given)
    _check(row.url, row.events, settings, row.project_id)
    session.add(row)
    await session.flush()
    connection = await session.connection()
    if not row.enabled:
        await give_up_all(connection, row.id or 0, "The webhook was switched off.")
    await audit(
        connection, Action.WEBHOOK_CHANGED, webhook=row.id, project=row.project_id,
        changed=sorted(given),
    )  # fmt: skip
    return await read(session, row)


async def remove(session: AsyncSession, row: Webhook) -> None:
    """Remove a webhook, and what it was to be told."""
    # Whoever notes something for it has it locked: after this, nobody does.
    await session.refresh(row, with_for_update=True)
    connection = await session.connection()
    await connection.execute(delete(_delivery).where(_delivery.c.webhook_id == row.id))
    await session.delete(row)
    await session.flush()
    await audit(connection, Action.WEBHOOK_REMOVED, webhook=row.id, project=row.project_id)


async def deliveries(
    session: AsyncSession, row: Webhook, limit: int, after: int | None
) -> Page[WebhookDeliveryRead]:
    """What a webhook was told, the newest first."""
    query = newest_first(
        core_select(_delivery).where(_delivery.c.webhook_id == row.id),
        _delivery.c.id, limit, after,
    )  # fmt: skip
    found = await (await session.connection()).execute(query)
    return page_of([WebhookDeliveryRead.model_validate(one) for one in found], limit)


async def test(runtime: Runtime, row: Webhook) -> WebhookDeliveryRead:
    """Send a webhook something now, and once; what came of it."""
    master_key = await runtime.load_master_key()
    hook = Hook(row.id or 0, row.url, row.secret, row.project_id)
    async with runtime.ledger.transaction() as connection:
        (values,) = rows(WEBHOOK_TEST, {}, [hook.id])
        values["due_at"] = now() + LEASE  # it is sent here
        entered = insert(_delivery).values(values).returning(_delivery.c.id)
        delivery_id = (await connection.execute(entered)).scalar_one()
    one = Due(delivery_id, WEBHOOK_TEST, values["body"], 0, values["created_at"])
    posted = await post(runtime.settings, master_key, hook, one)
    async with runtime.ledger.session() as session:
        connection = await session.connection()
        if posted.taken:
            await taken(connection, delivery_id, posted.status)
        else:
            await give_up(connection, delivery_id, posted.status, posted.detail)
        found = await session.get(WebhookDelivery, delivery_id)
        if found is None:
            raise not_found("webhook")  # removed at the same time
        return WebhookDeliveryRead.model_validate(found)


def _may(person: Person, project_id: int | None) -> bool:
    if project_id is None:
        return person.may(Right.ADMINISTER)
    return person.may(Right.MANAGE, project_id)


async def _project(session: AsyncSession, person: Person, code: str | None) -> int | None:
    """The id of the project; a problem when the person may not change it."""
    if code is None:
        if not person.may(Right.ADMINISTER):
            raise refused(Right.ADMINISTER)
        return None
    project = (await session.exec(select(Project).where(Project.code == code))).first()
    if project is None or not person.may(Right.VIEW, project.id):
        raise rule_broken("project", "There is no such project.")
    person.require(Right.MANAGE, project.id or 0)
    return project.id


def _check(url: str, events: list[WebhookEvent] | list[str], settings: Settings,
           project_id: int | None) -> None:  # fmt: skip
    if project_id is not None and WebhookEvent.STUDY_SETTLED in events:
        raise rule_broken("events", "Studies settle before they belong to a project.")
    try:
        check(url, settings, of_project=project_id is not None)
    except AddressError as error:
        raise rule_broken("url", str(error)) from None


class _Known(NamedTuple):
    """How webhooks fare."""

    counts: Mapping[tuple[int, str], int]
    """By webhook and state: what is not delivered."""
    last: Mapping[int, WebhookDeliveryRead]
    """By webhook: the newest event that it was tried with."""


async def _known(session: AsyncSession, ids: list[int]) -> _Known:
    connection = await session.connection()
    webhook, state = _delivery.c.webhook_id, _delivery.c.state
    counted = await connection.execute(
        core_select(webhook, state, func.count())
        .where(webhook.in_(ids), state != WebhookDeliveryState.DELIVERED)
        .group_by(webhook, state)
    )
    newest = (
        core_select(func.max(_delivery.c.id))
        .where(webhook.in_(ids), _delivery.c.attempts > 0)
        .group_by(webhook)
    )
    last = await connection.execute(core_select(_delivery).where(_delivery.c.id.in_(newest)))
    return _Known(
        {(webhook_id, state): number for webhook_id, state, number in counted},
        {row.webhook_id: WebhookDeliveryRead.model_validate(row) for row in last},
    )


def _read(row: Webhook, project: str | None, known: _Known) -> WebhookRead:
    own_id = row.id or 0
    return WebhookRead.model_validate(
        row.model_dump()
        | {
            "project": project,
            "waiting": known.counts.get((own_id, WebhookDeliveryState.WAITING), 0),
            "given_up": known.counts.get((own_id, WebhookDeliveryState.GIVEN_UP), 0),
            "last": known.last.get(own_id),
        }
    )
