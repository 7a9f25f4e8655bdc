"""The ledger's tables. Importing this module registers all of them."""

from typing import cast

from sqlalchemy import Table
from sqlmodel import SQLModel

from shared.ledger.tables.images import Association, Instance, Quarantine, Series, Study
from shared.ledger.tables.projects import Destination, Participant, Project, RoutingRule
from shared.ledger.tables.system import DeadLetter
from shared.ledger.tables.transfers import Delivery, Finding, Release, Transfer

METADATA = SQLModel.metadata


def core(model: type[SQLModel]) -> Table:
    """The Core table behind a model, for the hot paths."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


__all__ = [
    "METADATA",
    "Association",
    "DeadLetter",
    "Delivery",
    "Destination",
    "Finding",
    "Instance",
    "Participant",
    "Project",
    "Quarantine",
    "Release",
    "RoutingRule",
    "Series",
    "Study",
    "Transfer",
    "core",
]
