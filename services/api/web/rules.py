"""The pages of the routing rules. They show no identities."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import Page
from services.api.rights.deciding import PersonDep
from services.api.rights.studies import seen_by
from services.api.routing_rules import service as rules
from services.api.routing_rules.applying import apply_whole
from services.api.routing_rules.schemas import Tried
from services.api.routing_rules.trying import try_rule
from services.api.web.templating import templates
from shared.people import Right

_SHOWN = 15


async def list_rules(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """The routing rules."""
    async with runtime.ledger.session() as session:
        found = await rules.every(session, person.projects_with(Right.IDENTIFY))
    return templates.TemplateResponse(request, "rules/rules.html", {"rules": found})


async def show_rule(
    request: Request,
    rule_id: PathId,
    person: PersonDep,
    runtime: RuntimeDep,
    taken: int | None = None,
    refused: int = 0,
) -> HTMLResponse:
    """A rule, and what it would do with what is here."""
    async with runtime.ledger.session() as session:
        read, rule = await rules.read(session, rule_id), await rules.get(session, rule_id)
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)

    async def tried(takes: bool) -> Page[Tried]:
        return await try_rule(
            runtime.ledger, rule, master_key, seen=seen, takes=takes, limit=_SHOWN, after=None
        )

    context = {
        "rule": read,
        "takes": await tried(True),
        "leaves": await tried(False),
        "taken": taken,
        "refused": refused,
    }
    return templates.TemplateResponse(request, "rules/rule.html", context)


async def apply_rule(rule_id: PathId, person: PersonDep, runtime: RuntimeDep) -> RedirectResponse:
    """Apply a rule to what is here, and show what that did."""
    applied = await apply_whole(runtime, rule_id, person)
    return RedirectResponse(
        f"/rules/{rule_id}?taken={applied.taken}&refused={applied.refused}", status_code=303
    )
