"""Webhooks: whom Sluse tells of what happens, and what is still to be told."""

from datetime import datetime

from sqlalchemy import Column, Index, Text, text, true
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, reference, row_id
from shared.ledger.states import WebhookDeliveryState
from shared.ledger.tables.base import moment

_WAITING = text(f"state = '{WebhookDeliveryState.WAITING}'")


class Webhook(SQLModel, table=True):
    """An address that is told of events."""

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int | None = Field(
        default=None, sa_column=reference("project.id", nullable=True, index=True)
    )
    """The only project that it hears of; None for the whole system."""
    name: str = Field(max_length=64)
    url: str = Field(max_length=300)
    events: list[str] = Field(sa_column=Column(Document, nullable=False))
    """Of `shared.ledger.states.WebhookEvent`."""
    secret: str = Field(sa_column=Column(Text, nullable=False))
    """What signs, encrypted under the master key."""
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: datetime = moment()


class WebhookDelivery(SQLModel, table=True):
    """One event for one webhook: entered in the transaction of what it tells of."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_webhook_id", "webhook_id", "id"),
        Index(
            "ix_webhook_delivery_due",
            "due_at",
            postgresql_where=_WAITING,
            sqlite_where=_WAITING,
        ),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    webhook_id: int = Field(sa_column=reference("webhook.id"))
    event_id: str = Field(max_length=36)
    """The same for all who are told of one event."""
    event: str = Field(max_length=32)
    body: str = Field(sa_column=Column(Text, nullable=False))
    """JSON as it is sent: internal ids and counts, nothing of a patient's."""
    state: str = Field(default=WebhookDeliveryState.WAITING, max_length=16)
    attempts: int = 0
    due_at: datetime = moment()
    """While waiting: when it is tried next."""
    status: int | None = None
    """The HTTP status that was answered last."""
    detail: str = Field(default="", max_length=200)
    """Why it is not delivered."""
    created_at: datetime = moment(index=True)
    ended_at: datetime | None = moment(nullable=True)
