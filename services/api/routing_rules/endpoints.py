"""`/routing-rules`: what arrives and is assigned by itself."""

from typing import Annotated

from fastapi import Query
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After, Limit, Page
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import require_project, seen_by
from services.api.routes import resource
from services.api.routing_rules import service
from services.api.routing_rules.applying import apply_whole
from services.api.routing_rules.schemas import Applied, RoutingRuleRead, RoutingRuleWrite, Tried
from services.api.routing_rules.trying import try_rule
from services.api.versions import IfMatch, require_version
from shared.people import Right

router = resource("/routing-rules", "routing rules")

Takes = Annotated[
    bool | None,
    Query(
        description="Only the studies that the rule would take, or only the others. A page may "
        "then be empty and still have a `next`."
    ),
]


@router.get("")
async def list_routing_rules(person: PersonDep, runtime: RuntimeDep) -> list[RoutingRuleRead]:
    """List the rules of one's projects in the order in which they are tried."""
    async with runtime.ledger.session() as session:
        return await service.every(session, person.projects_with(Right.VIEW))


@router.post("", status_code=201, responses=responses(409, 422))
async def create_routing_rule(body: RoutingRuleWrite, runtime: RuntimeDep) -> RoutingRuleRead:
    """Enter a rule; it applies to what arrives from now on."""
    async with runtime.ledger.session() as session:
        return await service.write(session, body)


@router.get("/{rule_id}", responses=responses(404, 422))
async def read_routing_rule(rule_id: PathId, runtime: RuntimeDep) -> RoutingRuleRead:
    """Read one rule."""
    async with runtime.ledger.session() as session:
        return await service.read(session, rule_id)


@router.put("/{rule_id}", responses=responses(404, 409, 412, 422))
async def change_routing_rule(
    rule_id: PathId, body: RoutingRuleWrite, runtime: RuntimeDep, if_match: IfMatch = None
) -> RoutingRuleRead:
    """Change a rule, or switch it on or off."""
    async with runtime.ledger.session() as session:
        rule = await service.get(session, rule_id, lock=True)
        require_version(if_match, await service.read(session, rule_id))
        return await service.write(session, body, rule)


@router.post("/dry-run", responses=responses(422))
async def try_new_routing_rule(
    body: RoutingRuleWrite,
    person: PersonDep,
    runtime: RuntimeDep,
    takes: Takes = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[Tried]:
    """Say which of the studies here a rule would take, and why or why not, before it is entered.
    Changes nothing.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        await _require(person, session, body)
        rule = await service.understood(session, body)
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)
    return await try_rule(
        runtime.ledger, rule, master_key, seen=seen, takes=takes, limit=limit, after=after
    )


@router.post("/{rule_id}/dry-run", responses=responses(404, 422))
async def try_changed_routing_rule(
    rule_id: PathId,
    body: RoutingRuleWrite,
    person: PersonDep,
    runtime: RuntimeDep,
    takes: Takes = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[Tried]:
    """Say which of the studies here a rule would take if it were changed like this. Changes
    nothing.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        await service.get(session, rule_id)
        await _require(person, session, body)
        rule = await service.understood(session, body, rule_id)
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)
    return await try_rule(
        runtime.ledger, rule, master_key, seen=seen, takes=takes, limit=limit, after=after
    )


@router.get("/{rule_id}/dry-run", responses=responses(404, 422))
async def try_routing_rule(
    rule_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    takes: Takes = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[Tried]:
    """Say which of the studies here a rule would take, and why or why not, as if it were switched
    on. Changes nothing.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        rule = await service.get(session, rule_id)
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)
    return await try_rule(
        runtime.ledger, rule, master_key, seen=seen, takes=takes, limit=limit, after=after
    )


@router.post("/{rule_id}/apply", responses=responses(404, 422))
async def apply_routing_rule(rule_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Applied:
    """Apply a rule to what is here already: the studies that match go into the project."""
    return await apply_whole(runtime, rule_id, person)


async def _require(person: Person, session: AsyncSession, body: RoutingRuleWrite) -> None:
    """A rule takes studies into a project: only who may identify there says which."""
    await require_project(person, await session.connection(), Right.IDENTIFY, body.project)
