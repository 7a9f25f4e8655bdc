"""Notes who did what, when. Rows are only ever added, in the transaction of what they tell of."""

from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from sqlalchemy import insert

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.tables import AuditEvent, core


class Actor(StrEnum):
    """Who does what is audited, where it is nobody with an account."""

    HERE = "rest"
    """Whoever uses the machine before there are accounts."""
    NOBODY = "not signed in"
    DIRECTORY = "directory"
    """The hospital's directory, or its identity provider."""
    COMMAND_LINE = "command line"
    SLUSE = "sluse"
    """Sluse by itself."""


ACTOR: ContextVar[str] = ContextVar("actor", default=Actor.HERE)
"""Who does what is audited."""

# Names that people would take for Sluse, or for a part of it.
_RESERVED = frozenset(Actor) | {
    "api", "receiver", "classifier", "anonymizer", "forwarder", "reconciler", "system", "rule",
    "list", "token", "webhook",
}  # fmt: skip


def is_reserved(username: str) -> bool:
    """Whether the audit could not tell somebody of this user name from somebody else."""
    # A token is `kari (workflow)`.
    return username.casefold() in _RESERVED or "(" in username


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
    PROJECT_CREATED = "project.created"
    PROJECT_CHANGED = "project.changed"
    DESTINATION_ENTERED = "destination.entered"
    PEER_ENTERED = "peer.entered"
    PEER_REMOVED = "peer.removed"
    RULE_ENTERED = "rule.entered"
    DEAD_LETTER_RETRIED = "dead-letter.retried"
    DEAD_LETTER_DISCARDED = "dead-letter.discarded"
    SIGNED_IN = "account.signed-in"
    SIGN_IN_FAILED = "account.sign-in-failed"
    SIGNED_OUT = "account.signed-out"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_REMOVED = "account.removed"
    PASSWORD_CHANGED = "account.password-changed"  # noqa: S105
    MEMBER_CHANGED = "member.changed"
    MEMBER_REMOVED = "member.removed"
    GROUP_ROLE_CREATED = "group-role.created"
    GROUP_ROLE_REMOVED = "group-role.removed"
    TOKEN_CREATED = "token.created"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_REMOVED = "webhook.removed"
    HOLD_SET = "study.hold-set"
    HOLD_LIFTED = "study.hold-lifted"
    FILES_REMOVED = "files.removed"
    IDENTITIES_SHOWN = "identities.shown"
    MASTER_KEY_KEPT = "master-key.kept"
    MASTER_KEY_ROTATED = "master-key.rotated"
    BACKUP_RESTORED = "backup.restored"


async def audit(
    connection: Connection, action: Action, *, actor: str | None = None, **about: Any
) -> None:
    """Note that `action` was done.

    Parameters
    ----------
    actor
        None for who sends the request.
    about
        What it was done to, and how that was before and after: internal ids and states only,
        never anything of a patient's.
    """
    await connection.execute(
        insert(_audit_event).values(
            happened_at=now(), actor=actor or ACTOR.get(), action=action, subject=about
        )
    )
