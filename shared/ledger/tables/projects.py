"""Projects and what belongs to them (2019 design, "Projects and data")."""

from datetime import date, datetime

from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, reference, row_id
from shared.ledger.states import ProjectState
from shared.ledger.tables.base import moment
from shared.schemes import Scheme


class Destination(SQLModel, table=True):
    """A research PACS."""

    id: int | None = Field(default=None, sa_column=row_id())
    name: str = Field(max_length=64, unique=True)
    ae_title: str = Field(max_length=16)
    """Called AE title."""
    host: str = Field(max_length=253)
    port: int
    created_at: datetime = moment()


class Project(SQLModel, table=True):
    """A research project: the top unit of control."""

    id: int | None = Field(default=None, sa_column=row_id())
    code: str = Field(max_length=16, unique=True)
    """The short specifier (`BICAM`)."""
    number: str | None = Field(default=None, max_length=6, unique=True)
    """The project number (`P20_01`)."""
    title: str = Field(default="", max_length=200)
    principal_investigator: str = Field(default="", max_length=200)
    rek_number: str = Field(default="", max_length=64)
    """Approval number of the regional ethics committee (REK)."""
    rek_start: date | None = None
    rek_end: date | None = None
    participant_pattern: str | None = Field(default=None, max_length=300)
    """Regular expression that a participant id must match as a whole; None takes any."""
    events: list[str] = Field(default_factory=list, sa_column=Column(Document, nullable=False))
    """Names of the visits; empty when the project has none."""
    sites: list[str] = Field(default_factory=list, sa_column=Column(Document, nullable=False))
    """Names of the sites; empty when the project has one."""
    destination_id: int | None = Field(
        default=None, sa_column=reference("destination.id", nullable=True)
    )
    date_shift_days: int = 0
    """Whole days added to every date."""
    identifier_scheme: str = Field(
        default=Scheme.KEYED, max_length=16, sa_column_kwargs={"server_default": Scheme.KEYED}
    )
    """How its identifiers are made; fixed, or follow-up images would not join."""
    profile: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """What it wants otherwise than the 2019 table, as JSON (docs/profiles.md)."""
    secret: str = Field(max_length=300)
    """The project's key, encrypted under the master key."""
    state: str = Field(default=ProjectState.ACTIVE, max_length=16)
    created_at: datetime = moment()


class Participant(SQLModel, table=True):
    """A person in a project, known by pseudonym only."""

    __table_args__ = (UniqueConstraint("project_id", "pseudonym"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    pseudonym: str = Field(max_length=64)
    created_at: datetime = moment()


class RoutingRule(SQLModel, table=True):
    """Assigns arriving studies by itself: an AE title and a pattern on the patient (2019 design).

    The senders that a rule names are trusted: their patient ids are pseudonyms already and become
    the participant ids; everything else is de-identified as always.
    """

    __tablename__ = "routing_rule"

    id: int | None = Field(default=None, sa_column=row_id())
    name: str = Field(max_length=100, unique=True)
    enabled: bool = True
    priority: int = 100
    """Rules are tried in rising order."""
    called_aet: str | None = Field(default=None, max_length=16)
    """Full AE title that the sender addressed."""
    calling_aet: str | None = Field(default=None, max_length=16)
    """Full AE title of the sender."""
    patient_id_pattern: str | None = Field(default=None, max_length=300)
    patient_name_pattern: str | None = Field(default=None, max_length=300)
    project_id: int = Field(sa_column=reference("project.id"))
    event: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=64)
    created_at: datetime = moment()
