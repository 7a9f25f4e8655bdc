"""What a rule would do with what is here, for a page: how many studies, the newest of each kind."""

from collections.abc import Sequence
from typing import NamedTuple

from services.api.paging import Page
from services.api.rights.person import Person
from services.api.routing_rules import endpoints as rest
from services.api.routing_rules import service as rules
from services.api.routing_rules.schemas import RoutingRuleWrite, Tried
from shared.people import Right
from shared.routing import is_enough
from shared.runtime import Runtime

LOOKED_AT = 500
"""The newest studies that a page is about, so that it comes in a few seconds even where all fit;
REST tells of all."""
_SHOWN = 15


class Some(NamedTuple):
    """Studies of one kind."""

    number: int
    first: Sequence[Tried]


class Trial(NamedTuple):
    """What would become of the studies that were looked at."""

    looked_at: int
    has_more: bool
    """Whether there are older studies."""
    takes: Some
    fits: Some
    """Those that are what the rule asks for, and that it would leave all the same."""
    others: Some


async def try_now(runtime: Runtime, person: Person, rule_id: int) -> Trial:
    """Try a rule as it stands."""
    return _sorted(await rest.try_routing_rule(rule_id, person, runtime, limit=LOOKED_AT))


async def try_entered(
    runtime: Runtime, person: Person, body: RoutingRuleWrite, rule_id: int | None
) -> Trial:
    """Try a rule that is not saved.

    Raises
    ------
    ProblemError
        403 or 404 as over REST, 422 where it can't work.
    """
    if rule_id is None:
        return _sorted(await rest.try_new_routing_rule(body, person, runtime, limit=LOOKED_AT))
    async with runtime.ledger.session() as session:
        # Over REST the route's need says so: here the route is the form's, which asks for less.
        project_id = (await rules.get(session, rule_id)).project_id
    person.require(Right.IDENTIFY, project_id, "routing rule")
    tried = await rest.try_changed_routing_rule(rule_id, body, person, runtime, limit=LOOKED_AT)
    return _sorted(tried)


def _sorted(page: Page[Tried]) -> Trial:
    left = [one for one in page.items if not one.takes]
    kinds = (
        [one for one in page.items if one.takes],
        [one for one in left if is_enough(set(one.met))],
        [one for one in left if not is_enough(set(one.met))],
    )
    takes, fits, others = (Some(len(kind), kind[:_SHOWN]) for kind in kinds)
    return Trial(len(page.items), page.next is not None, takes, fits, others)
