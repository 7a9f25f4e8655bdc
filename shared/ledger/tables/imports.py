"""What people bring in through the web page: an import, its files, and what is in them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from shared.ledger.columns import BigId, Document, reference, row_id
from shared.ledger.states import IMPORT_ENDED, ImportState
from shared.ledger.tables.base import moment

IMPORT_OPEN = text(
    "state NOT IN ({})".format(", ".join(f"'{state}'" for state in sorted(IMPORT_ENDED)))
)


def _of_import() -> Column[Any]:
    return Column(BigId, ForeignKey("imported.id", ondelete="CASCADE"), nullable=False)


def _bytes() -> Column[Any]:
    return Column(BigInteger, nullable=False)


class Import(SQLModel, table=True):
    """One import: a folder, ZIPs or a CD, on the way from a browser to the inbox."""

    __tablename__ = "imported"
    __table_args__ = (
        Index(
            "ix_imported_open", "changed_at", postgresql_where=IMPORT_OPEN, sqlite_where=IMPORT_OPEN
        ),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    association_id: str = Field(max_length=32, unique=True)
    """The association as which its files come into the inbox; also its folder in the spool."""
    project_id: int = Field(sa_column=reference("project.id", index=True))
    participant: str | None = Field(default=None, max_length=64)
    """None where Sluse is to choose the id."""
    event: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=64)
    note: str = Field(default="", max_length=200)
    confirmed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """A person has seen what can be confirmed (`shared.admission.CONFIRMABLE`)."""
    peer_address: str = Field(default="", max_length=64)
    """Where it was accepted from."""
    state: str = Field(default=ImportState.UPLOADING, max_length=16)
    reason: str | None = Field(default=None, max_length=32)
    """A `shared.errors.Reason`: why it waits or has failed; or None."""
    attempts: int = 0
    """How often reading it ended in something unexpected."""
    claimed_until: datetime | None = moment(nullable=True)
    """Until when somebody is at work on it."""
    counts: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(Document, nullable=False, server_default="{}")
    )
    """Files, bytes and findings, once the rows that they were counted from are gone."""
    created_at: datetime = moment()
    changed_at: datetime = moment()


class ImportFile(SQLModel, table=True):
    """A file that a browser sends. Its name is a label, and may name a patient."""

    __tablename__ = "import_file"
    __table_args__ = (
        UniqueConstraint("import_id", "path_key"),
        # No number twice, not even that of a row that is gone: files on the disk go by it.
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=row_id())
    """Also its name in the import's folder."""
    import_id: int = Field(sa_column=_of_import())
    path: str = Field(max_length=1000)
    """As the browser names it, relative to what was chosen."""
    path_key: str = Field(max_length=64)
    """SHA-256 of the path: short enough for an index."""
    size: int = Field(sa_column=_bytes())
    received: int = Field(default=0, sa_column=_bytes())
    """Bytes that are on the disk, durably: where the upload goes on."""
    read_at: datetime | None = moment(nullable=True)
    """When it was looked into."""
    changed_at: datetime = moment()


class ImportItem(SQLModel, table=True):
    """Something in an uploaded file: an image, or what is not one and why."""

    __tablename__ = "import_item"
    __table_args__ = (
        # Equal contents are there once; what is no image has no digest.
        UniqueConstraint("import_id", "digest"),
        Index("ix_import_item_import_id_kind", "import_id", "kind", "id"),
        Index("ix_import_item_sop_instance_uid", "import_id", "sop_instance_uid"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    import_id: int = Field(sa_column=_of_import())
    file_id: int = Field(
        sa_column=Column(
            BigId, ForeignKey("import_file.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    member: int = 0
    """Its number in the archive, from 1; 0 for a file by itself."""
    path: str = Field(max_length=1000)
    """Its label; in an archive behind that of the archive."""
    kind: str = Field(max_length=16)
    """One of `shared.importing.Kind`."""
    why: str = Field(default="", max_length=32)
    """One of `shared.importing.Why`, where it is no image."""
    size: int = Field(default=0, sa_column=_bytes())
    digest: str | None = Field(default=None, max_length=32)
    study_instance_uid: str = Field(default="", max_length=64)
    series_instance_uid: str = Field(default="", max_length=64)
    sop_instance_uid: str = Field(default="", max_length=64)
    modality: str = Field(default="", max_length=16)
    burned_in: bool = False
    """The image says that its pixels name the patient (0028,0301)."""


class ImportStudy(SQLModel, table=True):
    """A study that an import has found, and once accepted the wish to assign it.

    Whose it is stands here until then, and in the study's own row afterwards (law 5).
    """

    __tablename__ = "import_study"
    __table_args__ = (UniqueConstraint("import_id", "study_instance_uid"),)

    id: int | None = Field(default=None, sa_column=row_id())
    import_id: int = Field(sa_column=_of_import())
    study_instance_uid: str = Field(max_length=64, index=True)
    patient_id: str = Field(default="", max_length=64)
    patient_name: str = Field(default="", max_length=324)
    patient_birth_date: str = Field(default="", max_length=8)
    patient_sex: str = Field(default="", max_length=16)
    accession_number: str = Field(default="", max_length=64)
    study_date: str = Field(default="", max_length=8)
    study_description: str = Field(default="", max_length=64)
    several_patients: bool = False
    """Some of its images name another patient than the first one."""
    accepted_at: datetime | None = moment(nullable=True)
    """When a person chose it; the wish stands from then on."""
    decided_at: datetime | None = moment(nullable=True)
    """When the wish met the study: `transfer_id` or `objection` says what came of it."""
    transfer_id: int | None = Field(default=None, sa_column=reference("transfer.id", nullable=True))
    objection: str = Field(default="", max_length=32)
    """What stood against it (a word of `shared.admission`)."""
