"""The gate that every assignment passes, whichever way it came: by hand or by rule."""

from enum import StrEnum
from typing import NamedTuple

from shared.identity import PARTICIPANT
from shared.ledger.states import ProjectState
from shared.ledger.tables import Project
from shared.patterns import matches_whole


class Objection(StrEnum):
    """What stands against an assignment. The value is stored and shown by its words."""

    PROJECT_NOT_ACTIVE = "project-not-active"
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
    Objection.PARTICIPANT_MISSING: "The images carry no patient id to use as participant id.",
    Objection.PARTICIPANT_PATTERN: "The participant id does not fit the project's pattern.",
    Objection.PATTERN_NEEDED: "Give the project a participant pattern first: a rule takes "
    "patient ids over, and nothing else keeps a real one out.",
    Objection.PARTICIPANT_IS_ORIGINAL: "This is the patient's own id, not a pseudonym.",
    Objection.EVENT_UNKNOWN: "The project has no such event.",
    Objection.SITE_UNKNOWN: "The project has no such site.",
}


class Refusal(NamedTuple):
    """One objection and the request's field that it is about."""

    field: str
    objection: Objection


def refusals(
    project: Project, participant: str, event: str, site: str, *, patient_id: str | None = None
) -> list[Refusal]:
    """Everything that stands against taking a study into `project`; empty when nothing does.

    Parameters
    ----------
    patient_id
        The original patient id, which must not become the participant id; None where it does, as
        with the trusted senders of a routing rule.
    """
    found = []
    if project.state != ProjectState.ACTIVE:
        found.append(Refusal("project", Objection.PROJECT_NOT_ACTIVE))
    if patient_id is None and project.participant_pattern is None:
        found.append(Refusal("project", Objection.PATTERN_NEEDED))
    if not participant:
        found.append(Refusal("participant", Objection.PARTICIPANT_MISSING))
    elif not (
        matches_whole(PARTICIPANT, participant)
        and matches_whole(project.participant_pattern or PARTICIPANT, participant)
    ):
        found.append(Refusal("participant", Objection.PARTICIPANT_PATTERN))
    elif participant == patient_id:
        found.append(Refusal("participant", Objection.PARTICIPANT_IS_ORIGINAL))
    if event not in (project.events or [""]):
        found.append(Refusal("event", Objection.EVENT_UNKNOWN))
    if site and site not in project.sites:
        found.append(Refusal("site", Objection.SITE_UNKNOWN))
    return found
