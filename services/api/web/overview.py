"""The first page: the pipeline, what needs attention, and the calendar. Shows no identities."""

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import RuntimeDep
from services.api.pipeline import service as pipeline
from services.api.pipeline.schemas import Pipeline
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.studies.schemas import CalendarBy, CalendarQuery
from services.api.studies.showing import count_shown
from services.api.transfers import service as transfers
from services.api.web.templating import templates
from services.api.web.words import QUEUES, TROUBLES
from shared.bus import QUEUES as EVERY_QUEUE
from shared.clock import now
from shared.ledger.states import TransferState
from shared.people import Right
from shared.priority import Priority
from shared.runtime import Runtime

_RECENT = 10
_FIRST, _LAST = date(1900, 1, 1), date(2999, 12, 1)


async def overview(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    month: Annotated[str, Query(max_length=7)] = "",
    by: Annotated[str, Query(max_length=8)] = CalendarBy.STUDIED.value,
) -> HTMLResponse:
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
    context = {
        "figures": figures,
        "waiting": _waiting(figures),
        "bulk": _bulk(figures),
        "attention": attention,
        "recent": recent,
        "troubles": TROUBLES,
        "ae_title": runtime.settings.ae_title,
        "dicom_port": runtime.settings.dicom_port,
    }
    if person.may_somewhere(Right.ASSIGN):
        context["calendar"] = await _calendar(person, runtime, _first_of(month), by)
    # A part of the page asks for itself alone, to stay up to date.
    name = "overview-live.html" if "part" in request.query_params else "overview.html"
    return templates.TemplateResponse(request, name, context)


def _waiting(figures: Pipeline) -> dict[str, int | None]:
    """How many messages wait for each step, by its words; None where the broker does not say."""
    found: dict[str, int | None] = {}
    for service, words in QUEUES.items():
        depths = [n for queue, n in figures.queues.items() if queue.startswith(f"{service}.")]
        known = [depth for depth in depths if depth is not None]
        found[words] = sum(known) if len(known) == len(depths) else None
    return found


def _bulk(figures: Pipeline) -> int:
    """How many of them are bulk work, as far as the broker says."""
    bulk = {queue.name for queue in EVERY_QUEUE if queue.priority is Priority.BULK}
    return sum(depth or 0 for queue, depth in figures.queues.items() if queue in bulk)


def _first_of(month: str) -> date:
    """The first day of a month, `2020-02`; of this one where it is none."""
    try:
        return min(max(date.fromisoformat(f"{month}-01"), _FIRST), _LAST)
    except ValueError:
        return now().astimezone().date().replace(day=1)


async def _calendar(person: Person, runtime: Runtime, first: date, by: str) -> dict[str, Any]:
    """A month in weeks, Monday first, with what each day has."""
    following = (first + timedelta(days=32)).replace(day=1)
    last = following - timedelta(days=1)
    wanted = CalendarQuery(
        by=CalendarBy.RECEIVED if by == CalendarBy.RECEIVED.value else CalendarBy.STUDIED,
        first_day=first,
        last_day=last,
    )
    counted = {one.day: one for one in await count_shown(person, runtime, wanted)}
    start = first - timedelta(days=first.weekday())
    days = [start + timedelta(days=n) for n in range(((last - start).days // 7 + 1) * 7)]
    cells = [(day, counted.get(day)) if first <= day <= last else (None, None) for day in days]
    return {
        "first": first,
        "weeks": [cells[n : n + 7] for n in range(0, len(cells), 7)],
        "before": f"{first - timedelta(days=1):%Y-%m}",
        "after": f"{following:%Y-%m}",
        "by": wanted.by.value,
        "today": now().astimezone().date(),
        "studies": sum(one.studies for one in counted.values()),
    }
