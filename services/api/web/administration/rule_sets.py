"""The pages of rule sets: by which tables Sluse de-identifies, and by which rules it labels."""

import csv
import json
from collections import Counter
from io import StringIO
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select

from services.api.dependencies import RuntimeDep
from services.api.problems import not_found
from services.api.projects import service as projects
from services.api.web.administration.tables import TABLES, Table, as_it_comes
from services.api.web.templating import templates
from shared.ledger.tables import Series, core
from shared.runtime import Runtime

_SHOWN = 100
_LOOKED_AT = 2000
"""The newest series: what the classification rules make of them is not counted by the database."""
_series = core(Series)

Name = Annotated[str, Path(max_length=32)]


async def show_rule_sets(request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """Which there are, and where each is in use."""
    context = {
        "tables": [as_it_comes(one) for one in TABLES],
        "used": await _used(runtime),
        "labels": await _labels(runtime),
        "own_rules": runtime.settings.classification_rules,
    }
    return templates.TemplateResponse(request, "administration/rule-sets.html", context)


async def show_rule_set(
    request: Request,
    name: Name,
    search: Annotated[str, Query(max_length=64)] = "",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> HTMLResponse:
    """The rows of one, or those in which something stands."""
    table = as_it_comes(_known(name))
    wanted = search.strip().casefold()
    found = [row for row in table.rows if wanted in "\n".join(row.values()).casefold()]
    context = {
        "table": table,
        "search": search.strip(),
        "number": len(found),
        "rows": found[start : start + _SHOWN],
        "start": start,
        "next": start + _SHOWN if len(found) > start + _SHOWN else None,
    }
    return templates.TemplateResponse(request, "administration/rule-set.html", context)


async def download_rule_set(name: Name) -> Response:
    """All rows of one, for a spreadsheet."""
    table = as_it_comes(_known(name))
    text = StringIO()
    writer = csv.DictWriter(text, table.columns)
    writer.writeheader()
    writer.writerows(table.rows)
    disposition = f'attachment; filename="{name}.csv"'
    return Response(
        text.getvalue().encode("utf-8-sig"),  # or spreadsheets take it for another encoding
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": disposition},
    )


def _known(name: str) -> Table:
    for one in TABLES:
        if one.name == name:
            return one
    raise not_found("rule set")


async def _used(runtime: Runtime) -> dict[str, list[tuple[str, bool]]]:
    """By base profile: the projects that build on it, and whether with rules of their own."""
    used: dict[str, list[tuple[str, bool]]] = {"source-2019": [], "ps3.15": []}
    async with runtime.ledger.session() as session:
        for one in await projects.every(session):
            own = json.loads(one.profile) if one.profile else {"base": "source-2019"}
            differs = bool(own.get("rules") or own.get("contents"))
            used.setdefault(own["base"], []).append((one.code, differs))
    return used


async def _labels(runtime: Runtime) -> dict[str, Any]:
    """What the classification rules made of the newest series, as the ledger has it."""
    query = select(_series.c.labels).order_by(_series.c.id.desc()).limit(_LOOKED_AT)
    async with runtime.ledger.reading() as connection:
        found = [one or {} for one in await connection.scalars(query)]
    rules = Counter(one["state"]["rules"] for one in found if one.get("state"))
    labels = Counter(label for one in found for label in one.get("labels", ()))
    return {"series": len(found), "rules": rules.most_common(), "labels": labels.most_common()}
