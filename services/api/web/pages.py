"""The web page: the pipeline's counts and what is on its way. Shows no identities."""

from datetime import datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from services.api.dependencies import RuntimeDep
from services.api.pipeline import service as pipeline
from services.api.transfers import service as transfers
from shared.ledger.states import TransferState

_HERE = Path(__file__).parent
_RECENT = 15

templates = Jinja2Templates(directory=_HERE / "templates")


def _local_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


templates.env.filters["local_time"] = _local_time


async def overview(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The pipeline at a glance."""
    figures = await pipeline.read(runtime)
    async with runtime.ledger.reading() as connection:
        attention, recent = [
            await transfers.list_page(
                connection, project=None, state=state, limit=_RECENT, after=None
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
            "ae_title": runtime.settings.ae_title,
            "dicom_port": runtime.settings.dicom_port,
        },
    )


def install(app: FastAPI) -> None:
    """Add the page and its files to `app`."""
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_api_route(
        "/", overview, include_in_schema=False, response_class=HTMLResponse, methods=["GET"]
    )
