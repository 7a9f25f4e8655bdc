"""`/routing-rules`: what arrives and is assigned by itself."""

from fastapi import APIRouter

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import responses
from services.api.routing_rules import service
from services.api.routing_rules.schemas import RoutingRuleRead, RoutingRuleWrite

router = APIRouter(prefix="/routing-rules", tags=["routing rules"])


@router.get("")
async def list_routing_rules(runtime: RuntimeDep) -> list[RoutingRuleRead]:
    """List all rules in the order in which they are tried."""
    async with runtime.ledger.session() as session:
        return await service.every(session)


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


@router.put("/{rule_id}", responses=responses(404, 409, 422))
async def change_routing_rule(
    rule_id: PathId, body: RoutingRuleWrite, runtime: RuntimeDep
) -> RoutingRuleRead:
    """Change a rule, or switch it on or off."""
    async with runtime.ledger.session() as session:
        return await service.write(session, body, await service.get(session, rule_id))
