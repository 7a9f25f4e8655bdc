"""The pages of senders: who was not let in, who is listed, and the form of one."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.peers import endpoints as rest
from services.api.peers.schemas import PeerWrite
from services.api.problems import ProblemError
from services.api.refusals import service as refusals
from services.api.web.forms import Form, entered, form_of
from services.api.web.projects.show import Said
from services.api.web.templating import templates
from shared.runtime import Runtime

_SHOWN = 50
_OPTIONAL = ("calling_aet", "username", "password", "report_host", "report_port")


async def show_senders(
    request: Request, runtime: RuntimeDep, allowed: int | None = None, done: Said = ""
) -> HTMLResponse:
    """Who was not let in lately, and who is listed."""
    async with runtime.ledger.reading() as connection:
        refused = await refusals.latest(connection, _SHOWN)
    listed = await rest.list_peers(runtime)
    context = {
        "refused": refused,
        "listed": listed,
        "policy": runtime.settings.peers.value,
        "allowed": next((one for one in listed if one.id == allowed), None),
        "done": done,
    }
    return templates.TemplateResponse(request, "administration/senders.html", context)


async def allow_sender(refusal_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Let a sender in that was refused."""
    async with runtime.ledger.session() as session:
        peer = await refusals.allow(session, refusal_id)
        return RedirectResponse(f"/administration/senders?allowed={peer.id}", status_code=303)


async def show_new_sender(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The form, empty."""
    return await _form(request, runtime, Form({"enabled": True}), None)


async def show_sender(request: Request, peer_id: PathId, runtime: RuntimeDep) -> HTMLResponse:
    """The form of one sender."""
    found = await rest.read_peer(peer_id, runtime)
    return await _form(request, runtime, form_of(found), peer_id)


async def enter_sender(request: Request, runtime: RuntimeDep) -> Response:
    """Enter a sender."""
    form = Form(entered(await request.form()))
    try:
        await rest.create_peer(_body(form), runtime)
    except (ProblemError, ValidationError) as error:
        return await _form(request, runtime, form.refused(error), None)
    return RedirectResponse("/administration/senders?done=saved", status_code=303)


async def save_sender(request: Request, peer_id: PathId, runtime: RuntimeDep) -> Response:
    """Change a sender, or switch it off."""
    form = Form(entered(await request.form()))
    try:
        await rest.change_peer(peer_id, _body(form), runtime, form.version)
    except (ProblemError, ValidationError) as error:
        return await _form(request, runtime, form.refused(error), peer_id)
    return RedirectResponse("/administration/senders?done=saved", status_code=303)


async def drop_sender(peer_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Remove a sender."""
    await rest.remove_peer(peer_id, runtime)
    return RedirectResponse("/administration/senders?done=removed", status_code=303)


def _body(form: Form) -> PeerWrite:
    values: dict[str, Any] = {name: value or None if name in _OPTIONAL else value
                              for name, value in form.fields.items()}  # fmt: skip
    return PeerWrite.model_validate(values | {"enabled": values.get("enabled") == "true"})


async def _form(
    request: Request, runtime: Runtime, form: Form, peer_id: int | None
) -> HTMLResponse:
    """The form; of one that was entered already under the name that it has so far."""
    found = await rest.read_peer(peer_id, runtime) if peer_id is not None else None
    context = {
        "form": form,
        "one": found,
        "policy": runtime.settings.peers.value,
        "fields": list(PeerWrite.model_fields),
    }
    return templates.TemplateResponse(
        request, "administration/sender.html", context, status_code=422 if form.title else 200
    )
