"""The gate that every assignment passes, whichever way it came.

Here is what can be said of a request by itself; `shared.ledger.assigning` asks the ledger the rest.
"""

from enum import StrEnum
from typing import NamedTuple

from shared.clock import now
from shared.ledger.states import ProjectState
from shared.ledger.tables import Project
from shared.participants import fits, template


class Way(StrEnum):
    """How a study comes into a project."""

    REST = "rest"
    """A person or another system asked for it."""
    RULE = "rule"
    """A routing rule took it."""
    TITLE = "title"
    """It was sent to the project's own AE title (2019 design, mode B)."""
    LIST = "list"
    """It is on the project's coupling list."""
    IMPORT = "import"
    """A person brought it in through the web page."""
    CORRECTION = "correction"
    """It was in the wrong place before."""


class Objection(StrEnum):
    """What stands against an assignment. The value is stored and shown by its words."""

    PROJECT_NOT_ACTIVE = "project-not-active"
    APPROVAL_NOT_BEGUN = "approval-not-begun"
    APPROVAL_ENDED = "approval-ended"
    STUDY_WITHDRAWN = "study-withdrawn"
    ORIGINALS_EVICTED = "originals-evicted"
    TAKEN_OUT = "taken-out"
    STUDY_IS_ANOTHERS = "study-is-anothers"
    PATIENT_IS_ANOTHER = "patient-is-another"
    ID_IS_ANOTHERS = "id-is-anothers"
    NO_TEMPLATE = "no-template"
    NUMBERS_USED_UP = "numbers-used-up"
    SITE_NEEDED = "site-needed"
    PARTICIPANT_MISSING = "participant-missing"
    PARTICIPANT_PATTERN = "participant-pattern"
    PATTERN_NEEDED = "pattern-needed"
    PARTICIPANT_IS_ORIGINAL = "participant-is-original"
    EVENT_UNKNOWN = "event-unknown"
    SITE_UNKNOWN = "site-unknown"

    @property
    def in_words(self) -> str:
        """The sentence that people read."""
        return _WORDS[self]


_WORDS = {
    Objection.PROJECT_NOT_ACTIVE: "The project does not take images: it is not active.",
    Objection.APPROVAL_NOT_BEGUN: "The project's approval (REK) has not begun yet.",
    Objection.APPROVAL_ENDED: "The project's approval (REK) has ended.",
    Objection.STUDY_WITHDRAWN: "The study was withdrawn: it must not be taken again.",
    Objection.ORIGINALS_EVICTED: "Original images of the study were removed in their time. Have it "
    "sent again; it can be assigned when all of them are back.",
    Objection.TAKEN_OUT: "A person has taken the study out of the project since it was put on the "
    "list. Assign it by hand if it is to come back.",
    Objection.STUDY_IS_ANOTHERS: "The study is in this project under another participant, event or "
    "site. Correct that transfer instead.",
    Objection.PATIENT_IS_ANOTHER: "Other studies of the same patient are in this project under "
    "another participant. Confirm that this is right, or use that participant.",
    Objection.ID_IS_ANOTHERS: "This participant is another patient in this project. Confirm that "
    "both are the same person, or use another id.",
    Objection.NO_TEMPLATE: "Sluse can't choose an id: give the project a template such as "
    "BICAM_{n:4}, or name the participant.",
    Objection.NUMBERS_USED_UP: "The project's template has no number left.",
    Objection.SITE_NEEDED: "The project's participant ids name the site: choose one.",
    Objection.PARTICIPANT_MISSING: "The images carry no patient id to go by.",
    Objection.PARTICIPANT_PATTERN: "The participant id does not fit the project's pattern.",
    Objection.PATTERN_NEEDED: "Give the project a participant pattern first: a rule takes "
    "patient ids over, and nothing else keeps a real one out.",
    Objection.PARTICIPANT_IS_ORIGINAL: "This is the patient's own id, not a pseudonym.",
    Objection.EVENT_UNKNOWN: "The project has no such event, or wants one chosen.",
    Objection.SITE_UNKNOWN: "The project has no such site.",
}


CONFIRMABLE = frozenset({Objection.PATIENT_IS_ANOTHER, Objection.ID_IS_ANOTHERS})
"""What a person may know better."""


class Refusal(NamedTuple):
    """One objection and the request's field that it is about."""

    field: str
    objection: Objection


def site_code(project: Project, site: str) -> str:
    """What stands for `site` in the project's participant ids."""
    return project.site_codes.get(site, site)


def refusals(
    project: Project,
    participant: str | None,
    event: str,
    site: str,
    *,
    patient_id: str | None = None,
) -> list[Refusal]:
    """Everything that stands against taking a study into `project`; empty when nothing does.

    Parameters
    ----------
    participant
        None where Sluse is to choose it.
    patient_id
        The original patient id, which must not become the participant id; None where it does, as
        with the trusted senders of a routing rule.
    """
    found = []
    if project.state != ProjectState.ACTIVE:
        found.append(Refusal("project", Objection.PROJECT_NOT_ACTIVE))
    today = now().date()
    if project.rek_start and today < project.rek_start:
        found.append(Refusal("project", Objection.APPROVAL_NOT_BEGUN))
    if project.rek_end and today > project.rek_end:
        found.append(Refusal("project", Objection.APPROVAL_ENDED))
    if participant is None:
        found += _automatic(project, site)
    else:
        found += _chosen(project, participant, site_code(project, site), patient_id)
    if event not in (project.events or [""]):
        found.append(Refusal("event", Objection.EVENT_UNKNOWN))
    if site and site not in project.sites:
        found.append(Refusal("site", Objection.SITE_UNKNOWN))
    return found


def _automatic(project: Project, site: str) -> list[Refusal]:
    made = template(project.participant_pattern or "")
    if made is None:
        return [Refusal("participant", Objection.NO_TEMPLATE)]
    if made.needs_site and not site:
        return [Refusal("site", Objection.SITE_NEEDED)]
    return []


def _chosen(project: Project, participant: str, code: str, patient_id: str | None) -> list[Refusal]:
    found = []
    if patient_id is None and project.participant_pattern is None:
        found.append(Refusal("project", Objection.PATTERN_NEEDED))
    if not participant:
        found.append(Refusal("participant", Objection.PARTICIPANT_MISSING))
    elif not fits(project.participant_pattern, participant, code):
        found.append(Refusal("participant", Objection.PARTICIPANT_PATTERN))
    elif participant == patient_id:
        found.append(Refusal("participant", Objection.PARTICIPANT_IS_ORIGINAL))
    return found
