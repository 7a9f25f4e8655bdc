"""The page of senders: who was not let in, and who is listed."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.api.dependencies import PathId, RuntimeDep
from services.api.peers import service as peers
from services.api.refusals import service as refusals
from services.api.web.templating import templates

_SHOWN = 50


async def show_senders(
    request: Request, runtime: RuntimeDep, allowed: int | None = None
) -> HTMLResponse:
    """Who was not let in lately, and who is listed."""
    async with runtime.ledger.reading() as connection:
        refused = await refusals.latest(connection, _SHOWN)
    async with runtime.ledger.session() as session:
        listed = await peers.every(session)
    context = {
        "refused": refused,
        "listed": listed,
        "policy": runtime.settings.peers.value,
        "allowed": next((one for one in listed if one.id == allowed), None),
    }
    return templates.TemplateResponse(request, "administration/senders.html", context)


async def allow_sender(refusal_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Let a sender in that was refused."""
    async with runtime.ledger.session() as session:
        peer = await refusals.allow(session, refusal_id)
        return RedirectResponse(f"/administration/senders?allowed={peer.id}", status_code=303)
