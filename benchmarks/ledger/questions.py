"""What is asked: every list and count that people and dashboards look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.ledger.filling import Size


@dataclass(frozen=True)
class Question:
    """A request to the API, or for a page."""

    what: str
    path: str
    search: str = ""
    """What is searched for, of a search."""

    @property
    def request(self) -> dict[str, Any]:
        """For httpx."""
        if self.search:
            return {"method": "POST", "url": self.path, "json": {"text": self.search}}
        return {"method": "GET", "url": self.path}


_API = "/api/v1"


def questions(size: Size) -> Iterator[Question]:
    """All of them; many of every list in the middle, where paging by offset would be slow."""
    middle = size.studies // 2
    yield Question("the page", "/")
    yield Question("the page's figures", f"{_API}/pipeline")
    yield Question("metrics", "/metrics")
    yield from _studies(size, middle)
    yield from _calendars()
    yield Question("a study", f"{_API}/studies/{middle}")
    yield Question("series of a study", f"{_API}/studies/{middle + 8}/series?limit=500")
    yield from _transfers(middle)
    yield from _projects()


def _studies(size: Size, middle: int) -> Iterator[Question]:
    studies = f"{_API}/studies"
    for what, query in (
        ("the newest", ""),
        ("the newest 500", "limit=500"),
        ("further down", f"after={middle}"),
        ("unassigned", "unassigned=true"),
        ("unassigned, further down", f"unassigned=true&after={middle}"),
        ("assigned", "unassigned=false"),
        ("still arriving", "settled=false"),
        ("settled", "settled=true"),
        ("of a large project", "project=PROJ1"),
        ("of a small project", "project=PROJ29"),
        ("of a common modality", "modality=MR"),
        ("of a rare modality", "modality=XA"),
        ("of a modality that is not there", "modality=XX"),
        ("with a common label", "label=T1"),
        ("with a rare label", "label=phantom"),
        ("with a label that is not there", "label=nothing"),
        ("rare label, rare modality, unassigned", "label=phantom&modality=XA&unassigned=true"),
        ("received on a day", "received_from=2022-06-01&received_to=2022-06-01"),
        ("unassigned, received on a day",
         "received_from=2022-06-01&received_to=2022-06-01&unassigned=true"),
        ("received long ago", "received_to=2021-02-01"),
        ("made on a day", "studied_from=2022-06-01&studied_to=2022-06-01"),
        ("made long ago", "studied_to=2021-02-01"),
    ):  # fmt: skip
        yield Question(f"studies: {what}", f"{studies}?{query}")
    for what, text in (
        ("an accession number", f"A{10000000 + middle}"),
        ("a patient id", f"{middle * 7919 % (size.studies * 2 // 3):011}"),
        ("what is not there", "nothing"),
    ):
        yield Question(f"studies: search for {what}", f"{studies}/search", text)


def _calendars() -> Iterator[Question]:
    calendar = f"{_API}/studies/calendar"
    month, year = (
        "first_day=2022-06-01&last_day=2022-06-30",
        "first_day=2022-01-01&last_day=2022-12-31",
    )
    yield Question("calendar: a month", f"{calendar}?{month}")
    yield Question("calendar: a year", f"{calendar}?{year}")
    yield Question("calendar: a year, unassigned", f"{calendar}?{year}&unassigned=true")
    yield Question("calendar: a year, a project", f"{calendar}?{year}&project=PROJ1")
    yield Question("calendar: a month by label", f"{calendar}?{month}&label=FLAIR")
    yield Question("calendar: a year by study date", f"{calendar}?{year}&by=studied")


def _transfers(middle: int) -> Iterator[Question]:
    transfers = f"{_API}/transfers"
    for what, query in (
        ("the newest", ""),
        ("the newest 500", "limit=500"),
        ("further down", f"after={middle}"),
        ("that need attention", "state=attention&limit=500"),
        ("running", "state=running"),
        ("cancelled", "state=cancelled"),
        ("recalled, of which there are none", "state=recalled"),
        ("of a large project", "project=PROJ1"),
        ("of a small project that need attention", "project=PROJ29&state=attention"),
        ("of a participant", "project=PROJ1&participant=P_00000000007"),
        ("of an event in a project", "project=PROJ20&event=year1"),
        ("requested on a day", "requested_from=2022-06-01&requested_to=2022-06-01"),
        ("of a project on a day",
         "project=PROJ20&requested_from=2022-06-01&requested_to=2022-06-01"),
        ("requested long ago", "requested_to=2021-02-01"),
    ):  # fmt: skip
        yield Question(f"transfers: {what}", f"{transfers}?{query}")
    yield Question("a transfer", f"{transfers}/{middle}")
    yield Question("instances of a transfer", f"{transfers}/{middle}/deliveries?limit=500")
    yield Question("failed ones of a transfer", f"{transfers}/{middle}/deliveries?state=failed")


def _projects() -> Iterator[Question]:
    projects = f"{_API}/projects"
    yield Question("projects", projects)
    yield Question("progress of a large project", f"{projects}/PROJ1/progress")
    yield Question("participants of a large project", f"{projects}/PROJ1/participants?limit=500")
    yield Question("participants of a small project", f"{projects}/PROJ29/participants")
    yield Question(
        "participants by their beginning", f"{projects}/PROJ1/participants?starts_with=P_0000001"
    )
    for what in ("destinations", "routing-rules", "quarantine", "dead-letters"):
        yield Question(what, f"{_API}/{what}")
