"""Who may send, who was not let in, and what is asked and said of storage commitment."""

from datetime import datetime

from sqlalchemy import Column, Index, UniqueConstraint, text, true
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, reference, row_id
from shared.ledger.states import CommitmentState
from shared.ledger.tables.base import moment
from shared.priority import Priority

_OPEN = text(f"state = '{CommitmentState.ASKED}'")


class Peer(SQLModel, table=True):
    """A sender that is let in, where only listed ones are, or that must say a password."""

    id: int | None = Field(default=None, sa_column=row_id())
    name: str = Field(max_length=64, unique=True)
    calling_aet: str | None = Field(default=None, max_length=16)
    """Its calling AE title; None for any."""
    addresses: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    """The network that it sends from (`10.1.2.0/24`); empty for any."""
    username: str | None = Field(default=None, max_length=64)
    """User name that it must show (PS3.7 D.3.3.7); None where it need not show any."""
    password_hash: str = Field(default="", max_length=200, sa_column_kwargs={"server_default": ""})
    """Of `shared.passwords`."""
    report_host: str = Field(default="", max_length=253, sa_column_kwargs={"server_default": ""})
    """Where reports of storage commitment go; empty for where the sender calls from."""
    report_port: int | None = None
    """None where it takes reports on its own associations only."""
    priority: str = Field(
        default=Priority.NORMAL, max_length=16, sa_column_kwargs={"server_default": Priority.NORMAL}
    )
    """Of what it sends."""
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: datetime = moment()


class Refusal(SQLModel, table=True):
    """An association that was rejected, and how often. Old ones are forgotten."""

    __table_args__ = (UniqueConstraint("calling_aet", "called_aet", "peer_address", "reason"),)

    id: int | None = Field(default=None, sa_column=row_id())
    calling_aet: str = Field(max_length=24)
    """What does not look like an AE title is stored as `(unusual characters)`."""
    called_aet: str = Field(max_length=24)
    peer_address: str = Field(max_length=64)
    reason: str = Field(max_length=32)
    """The outcome that the metrics count it as."""
    times: int = 1
    first_at: datetime = moment()
    last_at: datetime = moment(index=True)


class Commitment(SQLModel, table=True):
    """A sender's request for storage commitment (PS3.4 annex J), until it is reported on."""

    __table_args__ = (
        UniqueConstraint("calling_aet", "transaction_uid"),
        Index("ix_commitment_due_at", "due_at", postgresql_where=_OPEN, sqlite_where=_OPEN),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    transaction_uid: str = Field(max_length=64)
    calling_aet: str = Field(max_length=16)
    called_aet: str = Field(max_length=16)
    peer_address: str = Field(max_length=64)
    items: list[list[str]] = Field(sa_column=Column(Document, nullable=False))
    """SOP Class UID and SOP Instance UID of each."""
    state: str = Field(default=CommitmentState.ASKED, max_length=16)
    asked_at: datetime = moment()
    due_at: datetime = moment()
    """When it is looked at next."""
    attempts: int = 0
    """How often reporting was tried in vain."""


class Inquiry(SQLModel, table=True):
    """Our request to a research PACS for storage commitment, until its transfer is verified."""

    id: int | None = Field(default=None, sa_column=row_id())
    transaction_uid: str = Field(max_length=64, unique=True)
    transfer_id: int = Field(sa_column=reference("transfer.id", index=True))
    delivered: int
    """How many images of the transfer were delivered then."""
    asked_at: datetime = moment()
    safe: list[str] | None = Field(default=None, sa_column=Column(Document, nullable=True))
    """The SOP Instance UIDs that it keeps; None until it has reported."""
    lost: list[str] | None = Field(default=None, sa_column=Column(Document, nullable=True))
    """Those that it says it does not have."""
