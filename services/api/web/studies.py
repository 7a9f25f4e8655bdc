"""The pages of the studies as received: what to assign, a day's studies, one study with its series.

They show who the patients are; each showing is audited, a live list's once for each study.
"""

from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Any

from fastapi import Form as Sent
from fastapi import Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict

from services.api.dependencies import PathId, RuntimeDep
from services.api.paging import After
from services.api.problems import rule_broken
from services.api.projects import service as projects
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.rights.studies import note_shown
from services.api.series import service as series
from services.api.studies.filters import StudyQuery
from services.api.studies.schemas import StudyRead
from services.api.studies.showing import list_shown, show
from services.api.transfers import service as transfers
from services.api.web.forms import Form
from services.api.web.templating import templates
from shared.people import Right
from shared.runtime import Runtime

_SHOWN = 50
_MOST_SERIES = 100
_LIVE = 900.0  # seconds for which a study counts as shown on a live page
_REMEMBERED = 50_000


class StudyWish(BaseModel):
    """What a list of studies is to show, as its form sends it: what is left empty is not asked."""

    model_config = ConfigDict(extra="ignore")

    part: str | None = None
    day: str = ""
    received: str = ""
    project: str = ""
    modality: str = ""
    nothing: str = ""
    """Set where somebody went on without having chosen a study."""
    after: After = None

    def query(self, *, unassigned: bool | None) -> StudyQuery:
        """The same as the REST API has it; a `ValidationError` for what can't be."""
        return StudyQuery.model_validate(
            {
                "unassigned": unassigned,
                "studied_from": self.day or None,
                "studied_to": self.day or None,
                "received_from": self.received or None,
                "received_to": self.received or None,
                "project": self.project or None,
                "modality": self.modality.strip().upper() or None,
                "limit": _SHOWN,
                "after": self.after,
            }
        )


Wish = Annotated[StudyWish, Query()]


class Watching:
    """Which studies were shown to whom lately, so that a live page's refreshing is no news."""

    def __init__(self) -> None:
        self._shown: OrderedDict[tuple[int | None, int], float] = OrderedDict()

    def news(self, person: Person, study_ids: Sequence[int]) -> list[int]:
        """Those of the studies that the person has not just seen; they have from now on."""
        moment = monotonic()
        found = []
        for study_id in study_ids:
            key = (person.account_id, study_id)
            if self._shown.get(key, -_LIVE) + _LIVE < moment:
                found.append(study_id)
                self._shown[key] = moment
                self._shown.move_to_end(key)
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return found


async def show_unassigned(
    request: Request, wish: Wish, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """The studies that no project has yet."""
    return await _listed(request, wish, person, runtime, assigning=True)


async def show_studies(
    request: Request, wish: Wish, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """All studies, or those of a day."""
    return await _listed(request, wish, person, runtime, assigning=False)


async def find_studies(
    request: Request,
    person: PersonDep,
    runtime: RuntimeDep,
    text: Annotated[str, Sent(max_length=64)] = "",
) -> HTMLResponse:
    """The studies with an accession number, patient id or UID.

    A POST, for addresses end up in the logs of proxies and in the histories of browsers.
    """
    wish = StudyWish()
    page = await list_shown(person, runtime, wish.query(unassigned=None), text.strip() or "-")
    await note_shown(person, runtime, [one.id for one in page.items])
    context = {
        "studies": page,
        "wish": wish,
        "text": text,
        "assigning": False,
        "live": False,
        "projects": await projects_of(person, runtime, Right.VIEW),
    }
    return templates.TemplateResponse(request, "studies/list.html", context)


async def show_study(
    request: Request, study_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> HTMLResponse:
    """One study: what identifies it, its series with previews, and where it goes."""
    return await study_page(request, study_id, person, runtime, Form())


async def study_page(
    request: Request, study_id: int, person: Person, runtime: Runtime, form: Form
) -> HTMLResponse:
    """The same, with what is wrong with what was entered there."""
    study = await show(person, runtime, study_id)
    async with runtime.ledger.reading() as connection:
        found = await series.list_page(connection, study_id, _MOST_SERIES, None)
        sent = await transfers.of_study(connection, study_id, person.projects_with(Right.VIEW))
    may_hold = person.may(Right.OPERATE) or person.may_somewhere(Right.IDENTIFY)
    context = {
        "study": study,
        "series": found,
        "transfers": sent,
        "form": form,
        "may_hold": may_hold,
    }
    return templates.TemplateResponse(
        request, "studies/study.html", context, 422 if form.title else 200
    )


async def _listed(
    request: Request, wish: StudyWish, person: Person, runtime: Runtime, *, assigning: bool
) -> HTMLResponse:
    page = await list_shown(person, runtime, _query(wish, assigning))
    ids = [one.id for one in page.items]
    watching: Watching = request.app.state.watching
    news = watching.news(person, ids)
    await note_shown(person, runtime, news if wish.part is not None else ids)
    context: dict[str, Any] = {
        "studies": page,
        "wish": wish,
        "assigning": assigning,
        "live": wish.after is None,
        "projects": await projects_of(person, runtime, Right.VIEW),
    }
    name = "studies/rows.html" if wish.part is not None else "studies/list.html"
    return templates.TemplateResponse(request, name, context)


def _query(wish: StudyWish, assigning: bool) -> StudyQuery:
    try:
        return wish.query(unassigned=True if assigning else None)
    except ValueError:
        raise rule_broken("day", "There can't be studies like that.") from None


async def projects_of(person: Person, runtime: Runtime, right: Right) -> list[tuple[str, str]]:
    """Codes and titles of the projects in which a person has a right."""
    async with runtime.ledger.session() as session:
        return [
            (one.code, f"{one.code} · {one.title}" if one.title else one.code)
            for one in await projects.every(session)
            if person.may(right, one.id)
        ]


def patients_of(studies: Sequence[StudyRead]) -> int:
    """How many patients the studies are of, as far as their ids say."""
    return len({(one.patient_id, one.patient_birth_date) for one in studies})
