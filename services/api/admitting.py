"""Says to people what the gate objects to."""

from collections.abc import Iterable

from services.api.problems import FieldError
from shared.admission import Objection, Refusal
from shared.ledger.tables import Project


def field_errors(refusals: Iterable[Refusal], project: Project) -> list[FieldError]:
    """The gate's refusals as errors that name the field and, where there is one, the choice."""
    return [
        FieldError(field=one.field, message=_message(one.objection, project)) for one in refusals
    ]


def _message(objection: Objection, project: Project) -> str:
    choices = {Objection.EVENT_UNKNOWN: project.events, Objection.SITE_UNKNOWN: project.sites}
    if objection not in choices:
        return objection.in_words
    names = ", ".join(choices[objection])
    return f"Choose one of: {names}." if names else "The project has none: leave it out."
