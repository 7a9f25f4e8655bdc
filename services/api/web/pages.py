"""The web pages: the pipeline at a glance, and the routing rules. They show no identities."""

from datetime import datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import Page
from services.api.pipeline import service as pipeline
from services.api.routing_rules import service as rules
from services.api.routing_rules.applying import apply_whole
from services.api.routing_rules.schemas import RoutingRuleRead, Tried
from services.api.routing_rules.trying import try_rule
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


async def list_rules(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """The routing rules."""
    async with runtime.ledger.session() as session:
        found = await rules.every(session)
    return templates.TemplateResponse(request, "rules.html", {"rules": found})


async def show_rule(
    request: Request,
    rule_id: PathId,
    runtime: RuntimeDep,
    taken: int | None = None,
    refused: int = 0,
) -> HTMLResponse:
    """A rule, and what it would do with what is here."""
    async with runtime.ledger.session() as session:
        read, rule = await rules.read(session, rule_id), await rules.get(session, rule_id)
    master_key = await runtime.load_master_key()

    async def tried(takes: bool) -> Page[Tried]:
        return await try_rule(
            runtime.ledger, rule, master_key, takes=takes, limit=_RECENT, after=None
        )

    context = {
        "rule": read,
        "takes": await tried(True),
        "leaves": await tried(False),
        "taken": taken,
        "refused": refused,
    }
    return templates.TemplateResponse(request, "rule.html", context)


async def apply_rule(rule_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Apply a rule to what is here, and show what that did."""
    applied = await apply_whole(runtime, rule_id)
    return RedirectResponse(
        f"/rules/{rule_id}?taken={applied.taken}&refused={applied.refused}", status_code=303
    )


def _in_words(rule: RoutingRuleRead) -> str:
    """What a rule asks for, as a person reads it."""
    titles = [("sent to", rule.called_aet), ("sent by", rule.calling_aet)]
    patterns = [
        ("the patient id begins like", rule.patient_id_pattern),
        ("the patient's name begins like", rule.patient_name_pattern),
    ]
    either = [
        " or ".join(f"{words} {value}" for words, value in some if value)
        for some in (titles, patterns)
    ]
    return ", and ".join(either)


templates.env.filters["in_words"] = _in_words


def install(app: FastAPI) -> None:
    """Add the page and its files to `app`."""
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    for path, page in (
        ("/", overview), ("/rules", list_rules), ("/rules/{rule_id}", show_rule)
    ):  # fmt: skip
        app.add_api_route(
            path, page, include_in_schema=False, response_class=HTMLResponse, methods=["GET"]
        )
    app.add_api_route(
        "/rules/{rule_id}/apply",
        apply_rule,
        include_in_schema=False,
        response_class=RedirectResponse,
        methods=["POST"],
    )
