"""What arrived: associations, studies, series, instances, and what could not be catalogued."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import BigId, Document, reference, row_id
from shared.ledger.states import Keeping
from shared.ledger.tables.base import moment
from shared.priority import Priority

_UNSETTLED = text("settled_at IS NULL")
_NOTED = text("routing_note != ''")
_KEPT = text("evicted < instances")
_LEAVING = text(f"keeping = '{Keeping.LEAVING}'")


def _association() -> Column[Any]:
    return Column(String(32), ForeignKey("association.id"), nullable=False, index=True)


class Association(SQLModel, table=True):
    """One connection that brought images."""

    id: str = Field(max_length=32, primary_key=True)
    """Also the name of its folder in the spool's inbox."""
    calling_aet: str = Field(max_length=16)
    called_aet: str = Field(max_length=16)
    peer_address: str = Field(max_length=64)
    opened_at: datetime = moment()
    closed_at: datetime | None = moment(nullable=True)
    completed: bool = False
    """Whether it was released, not aborted or lost."""
    priority: str = Field(
        default=Priority.NORMAL, max_length=16, sa_column_kwargs={"server_default": Priority.NORMAL}
    )
    """Of what it brought."""


class Study(SQLModel, table=True):
    """A study as received; patient data lives here and in the spool only (law 5)."""

    __table_args__ = (
        Index(
            "ix_study_unsettled",
            "last_received_at",
            postgresql_where=_UNSETTLED,
            sqlite_where=_UNSETTLED,
        ),
        Index("ix_study_noted", "routing_note", postgresql_where=_NOTED, sqlite_where=_NOTED),
        Index("ix_study_kept", "id", postgresql_where=_KEPT, sqlite_where=_KEPT),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    study_instance_uid: str = Field(max_length=64, unique=True)
    patient_id: str = Field(default="", max_length=64, index=True)
    patient_name: str = Field(default="", max_length=324)
    patient_birth_date: str = Field(default="", max_length=8)
    patient_sex: str = Field(default="", max_length=16)
    accession_number: str = Field(default="", max_length=64, index=True)
    study_date: str = Field(default="", max_length=8, index=True)
    study_description: str = Field(default="", max_length=64)
    routing_note: str = Field(default="", max_length=64)
    """Why what matched did not assign the study (a word of `shared.admission`)."""
    series: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    instances: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How many it has; counted along with every one that arrives."""
    first_received_at: datetime = moment(index=True)
    last_received_at: datetime = moment()
    settled_at: datetime | None = moment(nullable=True)
    """When everything seemed to be there: no association open, and nothing came for a while."""
    evicted: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Of how many of its instances the original is not `here`; counted along with every move."""
    evicted_at: datetime | None = moment(nullable=True)
    """When originals of it were removed last."""
    promised_at: datetime | None = moment(nullable=True)
    """When a sender was told last that images of it are safe here (storage commitment)."""
    hold_reason: str = Field(default="", max_length=200, sa_column_kwargs={"server_default": ""})
    """Why it is under a legal hold."""
    hold_by: str = Field(default="", max_length=96, sa_column_kwargs={"server_default": ""})
    held_since: datetime | None = moment(nullable=True)
    """None where it is not: then nothing keeps its files from being removed in their time."""


class StudyAssociation(SQLModel, table=True):
    """Which associations brought something of a study."""

    __tablename__ = "study_association"

    study_id: int = Field(
        sa_column=Column(BigId, ForeignKey("study.id"), primary_key=True, nullable=False)
    )
    association_id: str = Field(
        sa_column=Column(
            String(32), ForeignKey("association.id"), primary_key=True, nullable=False, index=True
        )
    )


class Series(SQLModel, table=True):
    """A series as received."""

    __table_args__ = (
        UniqueConstraint("study_id", "series_instance_uid"),
        Index("ix_series_modality_study_id", "modality", "study_id"),
        # What contains a label is found by it; SQLite knows no such index, and makes a plain one.
        Index(
            "ix_series_labels",
            "labels",
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
        ),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    study_id: int = Field(sa_column=reference("study.id"))
    series_instance_uid: str = Field(max_length=64)
    modality: str = Field(default="", max_length=16)
    series_number: str = Field(default="", max_length=12)
    series_description: str = Field(default="", max_length=64)
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(Document, nullable=False))
    """The header facts of the series JSON."""
    labels: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(Document, nullable=False, server_default="{}")
    )
    """What the classification rules found so far (`services.classifier.labels`)."""
    instances: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How many it has."""
    evicted: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Of how many of them the original is not `here`."""
    first_received_at: datetime = moment()


class Instance(SQLModel, table=True):
    """An image or other object as received."""

    __table_args__ = (
        UniqueConstraint("series_id", "sop_instance_uid"),
        Index("ix_instance_leaving", "id", postgresql_where=_LEAVING, sqlite_where=_LEAVING),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    series_id: int = Field(sa_column=reference("series.id"))
    sop_instance_uid: str = Field(max_length=64, index=True)
    sop_class_uid: str = Field(max_length=64)
    transfer_syntax_uid: str = Field(max_length=64)
    spool_key: str = Field(max_length=300)
    """The file of the current revision."""
    size: int = Field(sa_column=Column(row_id().type, nullable=False))
    """Bytes of the file."""
    digest: str = Field(max_length=32)
    """XXH3-128 of the data set, hexadecimal: tells a repeat from a change."""
    revision: int = 1
    """Rises when the same SOP Instance UID arrives with other content."""
    keeping: str = Field(
        default=Keeping.HERE, max_length=8, sa_column_kwargs={"server_default": Keeping.HERE}
    )
    """Whether the files of all its revisions are in the spool."""
    association_id: str = Field(sa_column=_association())
    received_at: datetime = moment()


class Quarantine(SQLModel, table=True):
    """A file that arrived and could not be catalogued, held for a person (law 4)."""

    id: int | None = Field(default=None, sa_column=row_id())
    spool_key: str = Field(max_length=300, unique=True)
    association_id: str = Field(sa_column=_association())
    reason: str = Field(max_length=32)
    detail: str = Field(default="", max_length=200)
    size: int = Field(sa_column=Column(row_id().type, nullable=False))
    received_at: datetime = moment()
