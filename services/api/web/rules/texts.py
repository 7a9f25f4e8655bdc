"""What the pages of rules say that stands in no template."""

from services.api.routing_rules import service as rules
from services.api.routing_rules import trying
from shared.admission import Objection

WRONG = "Something is missing or wrong: it is said below, where it stands."
FILL_IN = "Fill this in, or remove the row."
ONLY_ONCE = "Only one row for each of the two: enter another rule for another AE title."
NO_TITLE = "An AE title has 1 to 16 plain characters and no backslash."
NO_EXPRESSION = "Sluse does not understand this expression:"
TOO_LONG = "These conditions are too long together: a rule holds 300 characters of them."
NOT_MEMBER = (
    "You can't try a rule for this project: only its members who may see who the participants are "
    "can. Save the rule switched off, and let one of them look at it."
)
FIELDS = {
    "name": "Give the rule a name of 1 to 64 characters, without backslashes.",
    "priority": "Write a whole number from 0 to 10000.",
    "project": "Choose a project.",
    "trusted": "Choose one of the two.",
    "event": Objection.EVENT_UNKNOWN.in_words,
    "site": Objection.SITE_UNKNOWN.in_words,
    "patient_id_pattern": TOO_LONG,
    "patient_name_pattern": TOO_LONG,
    "called_aet": NO_TITLE,
    "calling_aet": NO_TITLE,
}
"""What is said of a field whose value can't be, instead of words for programs."""
COMPLAINTS = frozenset(
    {
        *(objection.in_words for objection in Objection),
        rules.NAME_TAKEN,
        rules.NO_PROJECT,
        rules.TITLE_MISSING,
        rules.PATTERN_MISSING,
    }
)
"""What services say of a rule, and people understand as it is."""
WORDS = frozenset(
    {
        *COMPLAINTS,
        WRONG,
        FILL_IN,
        ONLY_ONCE,
        NO_EXPRESSION,
        NOT_MEMBER,
        *FIELDS.values(),
        trying.NOT_SENT_SO,
        trying.NOT_THE_PATIENT,
        trying.ON_THE_LIST,
        trying.GOES_FIRST,
        trying.TAKEN_OUT,
        trying.THERE_ALREADY,
    }
)
"""All that catalogues must have."""


def said_of(field: str, message: str) -> str:
    """What is said to a person of a field that a service or a model has something against."""
    return message if message in COMPLAINTS else FIELDS.get(field, message)
