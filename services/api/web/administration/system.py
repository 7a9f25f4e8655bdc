"""How the system is: queues, disk, and files that nobody could read."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import RuntimeDep
from services.api.paging import After
from services.api.pipeline import service as pipeline
from services.api.quarantine import service as quarantine
from services.api.web.templating import templates
from shared.ledger.schema import current_revision

_SHOWN = 100


async def show_health(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """How the system is."""
    context = {
        "figures": await pipeline.read(runtime),
        "revision": await current_revision(runtime.ledger),
        "ae_title": runtime.settings.ae_title,
    }
    return templates.TemplateResponse(request, "administration/health.html", context)


async def show_quarantine(
    request: Request, runtime: RuntimeDep, after: After = None
) -> HTMLResponse:
    """Files that could not be read."""
    async with runtime.ledger.reading() as connection:
        page = await quarantine.list_page(connection, _SHOWN, after)
    return templates.TemplateResponse(request, "administration/quarantine.html", {"page": page})
