"""Notes who did what, when. Rows are only ever added, in the transaction of what they tell of."""

from enum import StrEnum
from typing import Any

from sqlalchemy import insert

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.tables import AuditEvent, core

REST = "rest"
"""Whoever calls the REST API."""

_audit_event = core(AuditEvent)


class Action(StrEnum):
    """What was done."""

    TRANSFER_REQUESTED = "transfer.requested"
    TRANSFER_RETRIED = "transfer.retried"
    TRANSFER_ACCEPTED = "transfer.accepted"
    TRANSFER_CANCELLED = "transfer.cancelled"
    TRANSFER_RECALLED = "transfer.recalled"
    TRANSFER_CORRECTED = "transfer.corrected"
    PROJECT_PROCESSED_AGAIN = "project.processed-again"
    STUDIES_RESENT = "studies.resent"
    LIST_UPLOADED = "coupling-list.uploaded"
    LIST_REMOVED = "coupling-list.removed"
    RULE_APPLIED = "rule.applied"
    IMPORT_ACCEPTED = "import.accepted"
    IMPORT_DISCARDED = "import.discarded"
    RECALL_DONE = "recall.done"


async def audit(connection: Connection, action: Action, *, actor: str = REST, **about: Any) -> None:
    """Note that `action` was done.

    Parameters
    ----------
    about
        What it was done to, and how that was before and after: internal ids and states only,
        never anything of a patient's.
    """
    await connection.execute(
        insert(_audit_event).values(happened_at=now(), actor=actor, action=action, subject=about)
    )
