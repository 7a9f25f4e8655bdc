"""What the system keeps about itself."""

from datetime import datetime

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import row_id
from shared.ledger.tables.base import moment


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
