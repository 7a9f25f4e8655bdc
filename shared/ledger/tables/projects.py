"""Projects and what belongs to them (2019 design, "Projects and data")."""

from datetime import date, datetime

from sqlalchemy import Column, Text, UniqueConstraint, false, true
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, reference, row_id
from shared.ledger.states import Deletion, ProjectState, Protocol, Verification
from shared.ledger.tables.base import moment
from shared.priority import Priority
from shared.schemes import Scheme


class Destination(SQLModel, table=True):
    """A research PACS."""

    id: int | None = Field(default=None, sa_column=row_id())
    name: str = Field(max_length=64, unique=True)
    protocol: str = Field(
        default=Protocol.DIMSE, max_length=16, sa_column_kwargs={"server_default": Protocol.DIMSE}
    )
    """How images go there."""
    ae_title: str | None = Field(default=None, max_length=16)
    """Called AE title; with DIMSE, like the next two."""
    host: str | None = Field(default=None, max_length=253)
    port: int | None = None
    url: str = Field(default="", max_length=300, sa_column_kwargs={"server_default": ""})
    """Of the DICOMweb service."""
    credentials: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    """The folder with the secrets for it (`shared.credentials`); empty for none of its own."""
    transfer_syntax: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    """UID of the one that it is offered first where it refuses the one that an image has."""
    deletion: str = Field(
        default=Deletion.NONE, max_length=16, sa_column_kwargs={"server_default": Deletion.NONE}
    )
    """How a released study is deleted there."""
    deletion_url: str = Field(default="", max_length=300, sa_column_kwargs={"server_default": ""})
    """Where: of Orthanc's REST API, or of the DICOMweb service."""
    calling_aet: str | None = Field(default=None, max_length=16)
    """What Sluse calls itself there; None for its own AE title."""
    tls: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    associations: int = Field(default=2, sa_column_kwargs={"server_default": "2"})
    """How many are open there at once, at most, from each forwarder."""
    images_per_second: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Pace of each forwarder, at most; 0 for any."""
    hours: str = Field(default="", max_length=200, sa_column_kwargs={"server_default": ""})
    """When it takes images (`shared.hours`); empty for always."""
    verification: str = Field(
        default=Verification.QUERY,
        max_length=16,
        sa_column_kwargs={"server_default": Verification.NONE},
    )
    """How it is made sure that everything is there."""
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
    """What a participant id must look like: a template (`BICAM{site:2}_{n:4}`), or a regular
    expression that it matches as a whole (`shared.participants`); None takes any."""
    site_codes: dict[str, str] = Field(
        default_factory=dict, sa_column=Column(Document, nullable=False, server_default="{}")
    )
    """What stands for each site in a participant id."""
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
    priority: str = Field(
        default=Priority.NORMAL, max_length=16, sa_column_kwargs={"server_default": Priority.NORMAL}
    )
    """Of its transfers, where nobody says otherwise."""
    keep_originals_days: int | None = None
    """Days after the verified delivery until its studies' originals are removed; None: never."""
    keep_copies_days: int | None = Field(default=7, sa_column_kwargs={"server_default": "7"})
    """The same of its de-identified copies."""
    state: str = Field(default=ProjectState.ACTIVE, max_length=16)
    created_at: datetime = moment()


class Participant(SQLModel, table=True):
    """A person in a project, known by pseudonym only."""

    __table_args__ = (UniqueConstraint("project_id", "pseudonym"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    pseudonym: str = Field(max_length=64)
    created_at: datetime = moment()


class Coupling(SQLModel, table=True):
    """Which participant a patient is in a project: the most secret table there is."""

    __table_args__ = (UniqueConstraint("project_id", "patient_key"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    participant_id: int = Field(sa_column=reference("participant.id", index=True))
    patient_key: str = Field(max_length=64)
    """Keyed hash of the patient id (`shared.identity.patient_key`)."""
    original: str = Field(sa_column=Column(Text, nullable=False))
    """The original identity, encrypted under the master key."""
    created_at: datetime = moment()


class CouplingEntry(SQLModel, table=True):
    """A row of a project's coupling list: who a study belongs to, said before or after it came."""

    __tablename__ = "coupling_entry"
    __table_args__ = (UniqueConstraint("project_id", "kind", "value_key"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int = Field(sa_column=reference("project.id"))
    kind: str = Field(max_length=16)
    """What the row goes by, a `shared.ledger.coupling.Kind`."""
    value_key: str = Field(max_length=64, index=True)
    """Keyed hash of the accession number, StudyInstanceUID or patient id."""
    value: str = Field(sa_column=Column(Text, nullable=False))
    """The same, encrypted under the master key."""
    participant: str = Field(max_length=64)
    event: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=64)
    uploaded_at: datetime = moment()


class WithdrawnStudy(SQLModel, table=True):
    """A study that is never taken again, by one project or by any."""

    __tablename__ = "withdrawn_study"
    __table_args__ = (UniqueConstraint("project_id", "study_instance_uid"),)

    id: int | None = Field(default=None, sa_column=row_id())
    project_id: int | None = Field(default=None, sa_column=reference("project.id", nullable=True))
    """None for every project."""
    study_instance_uid: str = Field(max_length=64, index=True)
    withdrawn_at: datetime = moment()


class RoutingRule(SQLModel, table=True):
    """Assigns arriving studies by itself: an AE title and a pattern on the patient (2019 design).

    Everything but the patient's identity is de-identified as always.
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
    trusted: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """Whether the patient ids of its senders are participant ids already; else a participant gets
    an id by the project's pattern."""
    transfer_priority: str | None = Field(default=None, max_length=16)
    """Of the transfers that it makes; None for what else says it."""
    created_at: datetime = moment()
