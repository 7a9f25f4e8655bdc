"""Reads and writes routing rules."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.admitting import field_errors
from services.api.problems import FieldError, ProblemError, not_found, rule_broken, taken
from services.api.routing_rules.schemas import RoutingRuleRead, RoutingRuleWrite
from shared.admission import Objection, refusals
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import Project, RoutingRule

_ABOUT_THE_RULE = frozenset(
    {
        Objection.PATTERN_NEEDED,
        Objection.NO_TEMPLATE,
        Objection.SITE_NEEDED,
        Objection.EVENT_UNKNOWN,
        Objection.SITE_UNKNOWN,
    }
)
"""Objections that would stand against every study: the rule itself can't work."""


async def every(session: AsyncSession, projects: list[int] | None) -> list[RoutingRuleRead]:
    """The rules of these projects, None for all, in the order in which they are tried."""
    order = col(RoutingRule.priority), col(RoutingRule.id)
    query = select(RoutingRule, Project.code).join(Project).order_by(*order)
    if projects is not None:
        query = query.where(col(RoutingRule.project_id).in_(projects))
    return [_read(rule, code) for rule, code in await session.exec(query)]


async def read(session: AsyncSession, rule_id: int) -> RoutingRuleRead:
    """One rule with its project's code; a 404 problem when there is none."""
    rule = await get(session, rule_id)
    project = await session.get_one(Project, rule.project_id)
    return _read(rule, project.code)


async def get(session: AsyncSession, rule_id: int, *, lock: bool = False) -> RoutingRule:
    """One rule; a 404 problem when there is none."""
    found = await session.get(RoutingRule, rule_id, with_for_update=lock)
    if found is None:
        raise not_found("routing rule")
    return found


async def write(
    session: AsyncSession, body: RoutingRuleWrite, rule: RoutingRule | None = None
) -> RoutingRuleRead:
    """Enter a rule, or replace one; a problem when it can't work."""
    values = (await understood(session, body)).model_dump(exclude={"id", "created_at"})
    row = rule or RoutingRule.model_validate(values)
    row.sqlmodel_update(values)
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise taken("name", "Another rule has this name.") from None
    await audit(
        await session.connection(), Action.RULE_ENTERED, rule=row.id, project=row.project_id,
        enabled=row.enabled,
    )  # fmt: skip
    return _read(row, body.project)


async def understood(
    session: AsyncSession, body: RoutingRuleWrite, rule_id: int | None = None
) -> RoutingRule:
    """The rule that `body` describes, not entered; a problem when it can't work."""
    project = (await session.exec(select(Project).where(Project.code == body.project))).first()
    if project is None:
        raise rule_broken("project", "There is no such project.")
    errors = _conditions_missing(body)
    against = refusals(project, "" if body.trusted else None, body.event, body.site)
    errors += field_errors([one for one in against if one.objection in _ABOUT_THE_RULE], project)
    if errors:
        raise ProblemError(422, "The request breaks a rule.", errors)
    values = body.model_dump(exclude={"project"}) | {"project_id": project.id, "id": rule_id}
    return RoutingRule.model_validate(values)


def _conditions_missing(body: RoutingRuleWrite) -> list[FieldError]:
    errors = []
    if not (body.called_aet or body.calling_aet):
        message = "A rule needs a called or a calling AE title."
        errors.append(FieldError(field="called_aet", message=message))
    if not (body.patient_id_pattern or body.patient_name_pattern):
        message = "A rule needs a pattern on the patient's id or name."
        errors.append(FieldError(field="patient_id_pattern", message=message))
    return errors


def _read(rule: RoutingRule, project: str) -> RoutingRuleRead:
    return RoutingRuleRead.model_validate(
        rule.model_dump(exclude={"project_id", "created_at"}) | {"project": project}
    )
