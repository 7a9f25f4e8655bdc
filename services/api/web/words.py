"""Texts that pages show and that stand elsewhere: catalogues must have them, too."""

from services.api.accounts import signing_in
from services.api.refusals import service as refusals
from shared.admission import Objection
from shared.errors import Reason
from shared.ledger.states import TransferState

TROUBLES = {
    "assigned": "waiting",
    "anonymized": "waiting",
    "forwarded": "missing",
    "held": "held",
    "failed": "failed",
}
"""What is said of images in trouble, by their delivery's state."""


def from_elsewhere() -> set[str]:
    """All of them."""
    return {
        *(reason.in_words for reason in Reason),
        *(objection.in_words for objection in Objection),
        *(state.value for state in TransferState),
        *TROUBLES.values(),
        *refusals.WORDS,
        signing_in.WRONG,
        signing_in.BARRED,
        signing_in.AWAY,
        signing_in.NO_ROLE,
    }
