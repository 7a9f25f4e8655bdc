"""The web page: the pipeline's counts and what is on its way. Shows no identities."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from services.api.dependencies import RuntimeDep
from services.api.pipeline import service as pipeline
from services.api.transfers import service as transfers

_HERE = Path(__file__).parent
_RECENT = 15

templates = Jinja2Templates(directory=_HERE / "templates")


async def overview(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The pipeline at a glance."""
    figures = await pipeline.read(runtime)
    async with runtime.ledger.reading() as connection:
        recent = await transfers.list_page(
            connection, project=None, state=None, limit=_RECENT, after=None
        )
    # A part of the page asks for itself alone, to stay up to date.
    name = "overview-live.html" if "part" in request.query_params else "overview.html"
    return templates.TemplateResponse(
        request,
        name,
        {
            "figures": figures,
            "transfers": recent.items,
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
