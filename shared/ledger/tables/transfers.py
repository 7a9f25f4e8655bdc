"""A study on its way to a project: the transfer, and one delivery per instance (law 2)."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import BigId, Document, reference, row_id
from shared.ledger.states import (
    ENDED,
    IN_FLIGHT,
    DeliveryState,
    Keeping,
    RecallState,
    TransferState,
)
from shared.ledger.tables.base import moment
from shared.priority import Priority

IN_FORCE = text("state NOT IN ({})".format(", ".join(f"'{state}'" for state in sorted(ENDED))))
_VERIFYING = text(f"state = '{TransferState.VERIFYING}'")
_COPIES = text("copies_evicted_at IS NULL")
_LEAVING = text(f"copy_keeping = '{Keeping.LEAVING}'")
_TROUBLED = text("reason IS NOT NULL")
_IN_FLIGHT = text("state IN ({})".format(", ".join(f"'{state}'" for state in sorted(IN_FLIGHT))))


class Transfer(SQLModel, table=True):
    """A study assigned to a project, a participant, an event and a site."""

    __table_args__ = (
        Index(
            "uq_transfer_in_force",
            "study_id",
            "project_id",
            unique=True,
            postgresql_where=IN_FORCE,
            sqlite_where=IN_FORCE,
        ),
        Index("ix_transfer_project_id_state", "project_id", "state", "id"),
        Index(
            "ix_transfer_verify_at",
            "verify_at",
            postgresql_where=_VERIFYING,
            sqlite_where=_VERIFYING,
        ),
        Index("ix_transfer_copies", "id", postgresql_where=_COPIES, sqlite_where=_COPIES),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    study_id: int = Field(sa_column=reference("study.id", index=True))
    project_id: int = Field(sa_column=reference("project.id"))
    participant_id: int = Field(sa_column=reference("participant.id", index=True))
    event: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=64)
    state: str = Field(default=TransferState.REQUESTED, max_length=16, index=True)
    requested_by: str = Field(max_length=64)
    """One of `shared.admission.Way`."""
    priority: str = Field(
        default=Priority.NORMAL, max_length=16, sa_column_kwargs={"server_default": Priority.NORMAL}
    )
    """Whether its images go before others, or when nothing else waits."""
    corrects_id: int | None = Field(default=None, sa_column=reference("transfer.id", nullable=True))
    """The recalled transfer that this one stands in for; it waits until that one's deletion is
    done."""
    delivered: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    held: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    failed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    in_flight: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Its deliveries by where they are: counted along with every move of one."""
    withdrawn: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Those that go nowhere any more; no part of the account."""
    verify_at: datetime | None = moment(nullable=True)
    """While verifying: when the research PACS is asked next."""
    verify_attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How often it was asked in vain."""
    resent_at: datetime | None = moment(nullable=True)
    """When what was missing there was sent again by itself: that happens once."""
    missing: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Images that it did not have when it was asked last."""
    reason: str | None = Field(default=None, max_length=32)
    """A `shared.errors.Reason`: why it is not verified, or None."""
    detail: str = Field(default="", max_length=200, sa_column_kwargs={"server_default": ""})
    verified_at: datetime | None = moment(nullable=True)
    rule_id: int | None = Field(default=None, sa_column=reference("routing_rule.id", nullable=True))
    requested_at: datetime = moment()
    changed_at: datetime = moment()
    copies_evicted_at: datetime | None = moment(nullable=True)
    """When the last of its de-identified copies was removed; None while there may be some."""


class Delivery(SQLModel, table=True):
    """One instance on its way to one project."""

    __table_args__ = (
        UniqueConstraint("transfer_id", "instance_id"),
        Index("ix_delivery_transfer_id_state", "transfer_id", "state"),
        Index(
            "ix_delivery_troubled",
            "transfer_id",
            postgresql_where=_TROUBLED,
            sqlite_where=_TROUBLED,
        ),
        Index(
            "ix_delivery_due",
            "due_at",
            postgresql_where=_IN_FLIGHT,
            sqlite_where=_IN_FLIGHT,
        ),
        Index("ix_delivery_leaving", "id", postgresql_where=_LEAVING, sqlite_where=_LEAVING),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    transfer_id: int = Field(sa_column=reference("transfer.id"))
    instance_id: int = Field(sa_column=reference("instance.id", index=True))
    series_id: int = Field(sa_column=reference("series.id"))
    revision: int
    """The instance's revision that this delivery is about."""
    state: str = Field(default=DeliveryState.ASSIGNED, max_length=16)
    released_sop_uid: str | None = Field(default=None, max_length=64)
    released_key: str | None = Field(default=None, max_length=300)
    """The de-identified copy in the spool."""
    copy_keeping: str = Field(
        default=Keeping.HERE, max_length=8, sa_column_kwargs={"server_default": Keeping.HERE}
    )
    """Whether that copy is there still, once it has been made."""
    attempts: int = 0
    """How often sending was tried."""
    reason: str | None = Field(default=None, max_length=32)
    """A `shared.errors.Reason`: why it waits, is held or failed; or None."""
    detail: str = Field(default="", max_length=200)
    """Technical detail (a DIMSE status, say), without patient data."""
    due_at: datetime = moment()
    """While in flight: when the reconciler may nudge."""
    nudges: int = 0
    changed_at: datetime = moment()


class SentTo(SQLModel, table=True):
    """A place that images of a transfer have gone to: noted before the first of them goes, so that
    they may be there, whatever was heard of them since.
    """

    __tablename__ = "sent_to"

    transfer_id: int = Field(
        sa_column=Column(BigId, ForeignKey("transfer.id"), primary_key=True, autoincrement=False)
    )
    destination_id: int = Field(
        sa_column=Column(BigId, ForeignKey("destination.id"), primary_key=True, autoincrement=False)
    )
    first_at: datetime = moment()


class Recall(SQLModel, table=True):
    """A release that is to be deleted at a destination: one for each place it went to."""

    __table_args__ = (UniqueConstraint("transfer_id", "destination_id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    transfer_id: int = Field(sa_column=reference("transfer.id"))
    destination_id: int | None = Field(
        default=None, sa_column=reference("destination.id", nullable=True)
    )
    released_study_uid: str = Field(max_length=64)
    instances: int = 0
    """How many of them may be there."""
    state: str = Field(default=RecallState.ASKED, max_length=16, index=True)
    detail: str = Field(default="", max_length=200)
    """Why it is not done yet, without patient data."""
    asked_at: datetime = moment()
    due_at: datetime = moment()
    """When it is tried next."""
    again_at: datetime | None = moment(nullable=True)
    """When it must be done once more: some images were on their way when it was asked for."""
    attempts: int = 0
    done_at: datetime | None = moment(nullable=True)


class Release(SQLModel, table=True):
    """Which released StudyInstanceUID a study has in a project: deletions need it, and people's
    right to be informed.
    """

    __table_args__ = (UniqueConstraint("project_id", "study_id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    study_id: int = Field(sa_column=reference("study.id"))
    released_study_uid: str = Field(max_length=64, index=True)
    released_at: datetime = moment()


class Finding(SQLModel, table=True):
    """Why an instance is held, with evidence for the person who decides."""

    id: int | None = Field(default=None, sa_column=row_id())
    delivery_id: int = Field(sa_column=reference("delivery.id", index=True))
    reason: str = Field(max_length=32)
    evidence: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(Document, nullable=False)
    )
    found_at: datetime = moment()
