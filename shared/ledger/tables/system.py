"""What the system keeps about itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, row_id
from shared.ledger.states import DeadLetterState
from shared.ledger.tables.base import moment


class AuditEvent(SQLModel, table=True):
    """Who did what, when; rows are only ever added. Internal ids only, no patient data."""

    __tablename__ = "audit_event"

    id: int | None = Field(default=None, sa_column=row_id())
    happened_at: datetime = moment(index=True)
    actor: str = Field(max_length=64)
    action: str = Field(max_length=64)
    subject: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(Document, nullable=False)
    )
    """What it was done to, by internal ids, and how it was before and after."""


class DeadLetter(SQLModel, table=True):
    """A message that nobody could handle."""

    __tablename__ = "dead_letter"
    __table_args__ = (Index("ix_dead_letter_state", "state", "id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    message_id: str = Field(max_length=36, unique=True)
    """Of the message that reported it, so that a repeat is recognised."""
    queue: str = Field(max_length=64)
    reason: str = Field(max_length=32)
    detail: str = Field(default="", max_length=200)
    body: str = Field(sa_column=Column(Text, nullable=False))
    """The message as it was."""
    died_at: datetime = moment()
    state: str = Field(
        default=DeadLetterState.OPEN,
        max_length=16,
        sa_column_kwargs={"server_default": DeadLetterState.OPEN},
    )
    settled_at: datetime | None = moment(nullable=True)
    settled_by: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    settled_why: str = Field(default="", max_length=200, sa_column_kwargs={"server_default": ""})
    """Why it was discarded."""


class AnsweredPost(SQLModel, table=True):
    """What a POST request with an `Idempotency-Key` was answered, for a day."""

    __tablename__ = "answered_post"
    __table_args__ = (UniqueConstraint("who", "key_hash"),)

    id: int | None = Field(default=None, sa_column=row_id())
    who: str = Field(max_length=96)
    """Whose key it is: others may use the same."""
    key_hash: str = Field(max_length=64)
    fingerprint: str = Field(max_length=64)
    """SHA-256 of what was asked for."""
    claim: str = Field(max_length=32)
    """Of the request that makes use of the key: another takes over when its process has ended."""
    status: int | None = None
    """The HTTP status; None until it has changed something, 0 until it is answered."""
    etag: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    body: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """Encrypted under the master key: it may hold a secret that is shown once, or identities."""
    created_at: datetime = moment(index=True)
