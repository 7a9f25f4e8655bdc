"""Puts the resources, the page and the errors together into one application."""

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.api import guards, metrics, problems
from services.api.accounts.endpoints import router as accounts
from services.api.comparisons.endpoints import router as comparisons
from services.api.coupling_lists.endpoints import router as coupling_lists
from services.api.dead_letters.endpoints import router as dead_letters
from services.api.dependencies import RuntimeDep
from services.api.describing import PREFIX, describe
from services.api.destinations.endpoints import router as destinations
from services.api.dicomweb.endpoints import router as dicomweb
from services.api.findings.endpoints import router as findings
from services.api.health.endpoints import router as health
from services.api.imports.endpoints import router as imports
from services.api.imports.file_endpoints import router as import_files
from services.api.members.endpoints import router as members
from services.api.participants.endpoints import router as participants
from services.api.peers.endpoints import router as peers
from services.api.pipeline.endpoints import router as pipeline
from services.api.profile_previews.endpoints import router as profile_previews
from services.api.projects.endpoints import router as projects
from services.api.quarantine.endpoints import router as quarantine
from services.api.recalls.endpoints import router as recalls
from services.api.refusals.endpoints import router as refusals
from services.api.rendering.answers import drawing_of
from services.api.reports.endpoints import router as reports
from services.api.rights.deciding import decide
from services.api.routing_rules.endpoints import router as routing_rules
from services.api.series.endpoints import router as series
from services.api.studies.endpoints import router as studies
from services.api.studies.hold_endpoints import router as holds
from services.api.tokens.endpoints import router as tokens
from services.api.transfers.endpoints import router as transfers
from services.api.web import pages
from services.api.web.live import Hub
from services.api.web.problem import show_problem
from services.api.web.studies import Watching
from services.api.webhooks.endpoints import router as webhooks
from shared.ledger.schema import current_revision
from shared.runtime import Runtime

_DESCRIPTION = """
Sluse takes DICOM studies from the clinic to research projects: sorted, assigned, de-identified,
delivered, every single image accounted for.

Send a token (`POST /tokens`) as `Authorization: Bearer …`; on a machine without accounts none is
needed. Each operation asks for a right; what one may not know of is answered 404.

Errors are `application/problem+json` and name the field. What arrives is listed in pages, the
newest first: pass `next` as `after`. What people enter (projects, destinations, rules) is listed
whole.
"""

_health = APIRouter(include_in_schema=False)


@_health.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@_health.get("/readyz")
async def ready(runtime: RuntimeDep) -> dict[str, str | None]:
    """The process answers, and so does its database."""
    return {"status": "ready", "schema": await current_revision(runtime.ledger)}


@_health.get("/metrics")
async def read_metrics(runtime: RuntimeDep) -> Response:
    """What Prometheus reads."""
    await metrics.refresh(runtime)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def create_app(runtime: Runtime) -> FastAPI:
    """The application over an open runtime."""
    app = FastAPIOffline(
        title="Sluse", version="1", description=_DESCRIPTION, redoc_url=None, debug=False,
        dependencies=[Depends(decide)],
    )  # fmt: skip
    app.state.runtime = runtime
    app.state.signer, app.state.provider, app.state.has_accounts = None, None, False
    app.state.drawing = drawing_of(runtime)
    app.state.live, app.state.watching = Hub(runtime), Watching()
    problems.install(app, show_problem)
    api = APIRouter(prefix=PREFIX, responses=problems.responses(400, 401, 403, 503))
    for router in (
        pipeline, projects, destinations, routing_rules, studies, transfers, quarantine,
        dead_letters, recalls, series, participants, comparisons, coupling_lists,
        peers, refusals, accounts, members, tokens, imports, import_files, webhooks,
        findings, reports, health, profile_previews, holds,
    ):  # fmt: skip
        api.include_router(router)
    app.include_router(api)
    app.include_router(dicomweb)
    app.include_router(_health)
    pages.install(app)
    describe(app)
    guards.install(app, runtime.settings.http_names)
    return app
