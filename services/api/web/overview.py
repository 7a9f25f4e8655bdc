"""The first page: the pipeline's counts and what is on its way. Shows no identities."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import RuntimeDep
from services.api.pipeline import service as pipeline
from services.api.rights.deciding import PersonDep
from services.api.transfers import service as transfers
from services.api.web.templating import templates
from services.api.web.words import TROUBLES
from shared.ledger.states import TransferState
from shared.people import Right

_RECENT = 15


async def overview(request: Request, person: PersonDep, runtime: RuntimeDep) -> HTMLResponse:
    """The pipeline at a glance."""
    figures = await pipeline.read(runtime)
    async with runtime.ledger.reading() as connection:
        attention, recent = [
            await transfers.list_page(
                connection,
                state=state,
                within_projects=person.projects_with(Right.VIEW),
                limit=_RECENT,
                after=None,
            )
            for state in (TransferState.ATTENTION, None)
        ]
    # A part of the page asks for itself alone, to stay up to date.
    name = "overview-live.html" if "part" in request.query_params else "overview.html"
    return templates.TemplateResponse(
        request,
        name,
        {
            "figures": figures,
            "attention": attention.items,
            "recent": recent.items,
            "recent_total": sum(figures.transfers.values()),
            "troubles": TROUBLES,
            "ae_title": runtime.settings.ae_title,
            "dicom_port": runtime.settings.dicom_port,
        },
    )
