"""Texts that pages show and that stand elsewhere: catalogues must have them, too."""

from services.api.accounts import signing_in
from services.api.refusals import service as refusals
from services.api.rights.needs import Where
from services.api.web.administration.tables import TABLES
from services.api.web.profile.words import NO_ELEMENT, from_profiles
from services.api.web.rules import texts as rules
from shared.admission import CONFIRMABLE, Objection, Way
from shared.errors import Reason
from shared.importing import Kind, Why
from shared.ledger.states import (
    DeadLetterState,
    Deletion,
    DeliveryState,
    ImportState,
    Protocol,
    TransferState,
    Verification,
    WebhookDeliveryState,
    WebhookEvent,
)
from shared.people import Right, Source, SystemRole

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
DEAD_LETTERS = {
    DeadLetterState.OPEN: "wait for a decision",
    DeadLetterState.RETRIED: "sent again",
    DeadLetterState.DISCARDED: "discarded",
}
"""What people have made of messages that nobody could handle."""
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

PROTOCOLS = {Protocol.DIMSE: "DICOM associations", Protocol.DICOMWEB: "DICOMweb"}
VERIFICATIONS = {
    Verification.QUERY: "it is asked what is there",
    Verification.COMMITMENT: "it is asked to keep everything (storage commitment)",
    Verification.NONE: "its word for each image is enough",
}
DELETIONS = {
    Deletion.NONE: "by a person",
    Deletion.OVERWRITES: "by a person; images that come again take the place of those there",
    Deletion.ORTHANC: "by Sluse, with Orthanc's REST API",
    Deletion.DICOMWEB: "by Sluse, over DICOMweb",
}
"""How a destination works."""
SYSTEM_ROLES = {
    SystemRole.NONE: "nothing: projects have members",
    SystemRole.OPERATOR: "operator: sees to it that Sluse runs",
    SystemRole.ADMINISTRATOR: "administrator",
}
SOURCES = {
    Source.LOCAL: "kept here",
    Source.LDAP: "the hospital's directory",
    Source.OIDC: "the hospital's sign-in",
}
"""Where somebody's password is checked."""
RIGHTS = {
    Right.VIEW: "see what is in a project",
    Right.ASSIGN: "assign studies",
    Right.IDENTIFY: "see who the participants are",
    Right.CORRECT: "stop, take back and correct",
    Right.EXPORT: "take data out",
    Right.MANAGE: "change projects and their members",
    Right.OPERATE: "see how Sluse runs",
    Right.ADMINISTER: "administer Sluse",
}
WEBHOOK_EVENTS = {
    WebhookEvent.TRANSFER_COMPLETE: "a transfer is complete",
    WebhookEvent.TRANSFER_ATTENTION: "a transfer needs a person",
    WebhookEvent.STUDY_SETTLED: "a study has arrived whole, whatever becomes of it",
}
WEBHOOK_STATES = {
    WebhookDeliveryState.WAITING: "is tried again",
    WebhookDeliveryState.DELIVERED: "taken",
    WebhookDeliveryState.GIVEN_UP: "given up",
}
"""What webhooks are told, and what came of it."""

_OF_THINGS = (Where.PROJECT, Where.TRANSFER, Where.RECALL, Where.RULE, Where.IMPORT)
_OF_STARLETTE = ("Not Found", "Method Not Allowed", "There was an error parsing the body")
CAN_BE_CONFIRMED = frozenset(one.in_words for one in CONFIRMABLE)
"""Complaints about which a person may know better."""


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
        *DEAD_LETTERS.values(),
        *PROTOCOLS.values(),
        *VERIFICATIONS.values(),
        *DELETIONS.values(),
        *SYSTEM_ROLES.values(),
        *SOURCES.values(),
        *RIGHTS.values(),
        *ITEMS.values(),
        *WEBHOOK_EVENTS.values(),
        *WEBHOOK_STATES.values(),
        *(table.about for table in TABLES),
        *(why.in_words for why in Why),
        *refusals.WORDS,
        *rules.WORDS,
        *(f"There is no such {where.value.split(' ')[-1]}." for where in _OF_THINGS),
        *_OF_STARLETTE,
        signing_in.WRONG,
        signing_in.BARRED,
        signing_in.AWAY,
        signing_in.NO_ROLE,
        NO_ELEMENT,
        *from_profiles(),
        signing_in.RESERVED,
    }
