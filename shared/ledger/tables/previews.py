"""Previews: what a profile would make of an original, for a person who changes the profile."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import BigId, reference, row_id
from shared.ledger.states import PreviewState
from shared.ledger.tables.base import moment


def _goes_with(target: str) -> Any:
    """A reference to what the preview is of: when that is deleted, nothing of it may stay here."""
    return Column(BigId, ForeignKey(target, ondelete="CASCADE"), nullable=False, index=True)


class Preview(SQLModel, table=True):
    """One object before and after. It holds patient data, so it is deleted after an hour."""

    # A late answer must not meet another person's preview of the same number.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    transfer_id: int = Field(sa_column=_goes_with("transfer.id"))
    """Says who the participant is, the event and the site."""
    instance_id: int = Field(sa_column=_goes_with("instance.id"))
    asked_by: str = Field(max_length=64, index=True)
    """As the audit names them; they have one preview at a time."""
    profile: str = Field(sa_column=Column(Text, nullable=False))
    """The proposed one, as a project's is written."""
    seen: str = Field(default="", max_length=64)
    """The digest of the project's profile that the proposed one was made from."""
    state: str = Field(default=PreviewState.ASKED, max_length=16)
    reason: str | None = Field(default=None, max_length=32)
    """Why it is held or has failed."""
    detail: str = Field(default="", max_length=200)
    result: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """The elements before and after (`shared.previewing`), encrypted under the master key."""
    asked_at: datetime = moment(index=True)
    nudged_at: datetime = moment()
    """When the anonymizer was told of it last."""
    done_at: datetime | None = moment(nullable=True)
