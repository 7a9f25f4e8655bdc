"""Texts that pages show and that stand elsewhere: catalogues must have them, too."""

from services.api.accounts import signing_in
from services.api.refusals import service as refusals
from shared.admission import Objection, Way
from shared.errors import Reason
from shared.importing import Kind, Why
from shared.ledger.states import DeliveryState, ImportState, TransferState

TROUBLES = {
    "assigned": "waiting",
    "anonymized": "waiting",
    "forwarded": "missing",
    "held": "held",
    "failed": "failed",
}
"""What is said of images in trouble, by their delivery's state."""
WAYS = {
    Way.REST: "assigned by a person or another system",
    Way.RULE: "taken by a routing rule",
    Way.TITLE: "sent to the project's AE title",
    Way.LIST: "on the coupling list",
    Way.IMPORT: "imported by a person",
    Way.CORRECTION: "a correction",
}
"""How a study came into a project."""
IMAGES = {
    DeliveryState.ASSIGNED: "waits to be de-identified",
    DeliveryState.ANONYMIZED: "waits to be sent",
    DeliveryState.FORWARDED: "delivered",
    DeliveryState.HELD: "held",
    DeliveryState.FAILED: "failed",
    DeliveryState.WITHDRAWN: "withdrawn",
}
"""Where an image is."""
QUEUES = {
    "classifier": "to be sorted",
    "anonymizer": "to be de-identified",
    "forwarder": "to be sent",
}
"""What messages wait for, by the service whose queue they are in."""

IMPORTS = {
    ImportState.UPLOADING: "files are being sent",
    ImportState.READING: "Sluse looks into it",
    ImportState.REVIEW: "waits for your word",
    ImportState.BRINGING: "comes in",
    ImportState.ACCEPTED: "taken",
    ImportState.DISCARDED: "discarded",
    ImportState.FAILED: "could not be read",
}
"""How far an import is."""
ITEMS = {
    Kind.NAMED: "missing",
    Kind.UNREADABLE: "unreadable",
    Kind.REFUSED: "not opened",
    Kind.IGNORED: "no DICOM",
    Kind.DUPLICATE: "there twice",
}
"""Why something in an import is not taken."""


def from_elsewhere() -> set[str]:
    """All of them."""
    return {
        *(reason.in_words for reason in Reason),
        *(objection.in_words for objection in Objection),
        *(state.value for state in TransferState),
        *TROUBLES.values(),
        *WAYS.values(),
        *IMAGES.values(),
        *QUEUES.values(),
        *IMPORTS.values(),
        *ITEMS.values(),
        *(why.in_words for why in Why),
        *refusals.WORDS,
        signing_in.WRONG,
        signing_in.BARRED,
        signing_in.AWAY,
        signing_in.NO_ROLE,
    }
