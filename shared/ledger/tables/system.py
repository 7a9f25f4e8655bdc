"""What the system keeps about itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, row_id
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

    id: int | None = Field(default=None, sa_column=row_id())
    message_id: str = Field(max_length=36, unique=True)
    """Of the message that reported it, so that a repeat is recognised."""
    queue: str = Field(max_length=64)
    reason: str = Field(max_length=32)
    detail: str = Field(default="", max_length=200)
    body: str = Field(sa_column=Column(Text, nullable=False))
    """The message as it was."""
    died_at: datetime = moment()
