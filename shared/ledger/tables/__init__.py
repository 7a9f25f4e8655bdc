"""The ledger's tables. Importing this module registers all of them."""

from typing import cast

from sqlalchemy import Table
from sqlmodel import SQLModel

from shared.ledger.tables.images import (
    Association,
    Instance,
    Quarantine,
    Series,
    Study,
    StudyAssociation,
)
from shared.ledger.tables.imports import Import, ImportFile, ImportItem, ImportStudy
from shared.ledger.tables.network import Commitment, Inquiry, Peer, Refusal
from shared.ledger.tables.people import (
    Account,
    ApiToken,
    GroupRole,
    Membership,
    Throttle,
    WebSession,
)
from shared.ledger.tables.projects import (
    Coupling,
    CouplingEntry,
    Destination,
    Participant,
    Project,
    RoutingRule,
    WithdrawnStudy,
)
from shared.ledger.tables.system import AnsweredPost, AuditEvent, DeadLetter
from shared.ledger.tables.transfers import Delivery, Finding, Recall, Release, SentTo, Transfer
from shared.ledger.tables.webhooks import Webhook, WebhookDelivery

METADATA = SQLModel.metadata


def core(model: type[SQLModel]) -> Table:
    """The Core table behind a model, for the hot paths."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


__all__ = [
    "METADATA",
    "Account",
    "AnsweredPost",
    "ApiToken",
    "Association",
    "AuditEvent",
    "Commitment",
    "Coupling",
    "CouplingEntry",
    "DeadLetter",
    "Delivery",
    "Destination",
    "Finding",
    "GroupRole",
    "Import",
    "ImportFile",
    "ImportItem",
    "ImportStudy",
    "Inquiry",
    "Instance",
    "Membership",
    "Participant",
    "Peer",
    "Project",
    "Quarantine",
    "Recall",
    "Refusal",
    "Release",
    "RoutingRule",
    "SentTo",
    "Series",
    "Study",
    "StudyAssociation",
    "Throttle",
    "Transfer",
    "WebSession",
    "Webhook",
    "WebhookDelivery",
    "WithdrawnStudy",
    "core",
]
