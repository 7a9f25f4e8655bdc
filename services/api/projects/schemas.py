"""What a project looks like from outside (2019 design, "Projects and data")."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import (
    Name,
    Names,
    OptionalName,
    ParticipantPattern,
    ProfileText,
    ProjectCode,
    ProjectNumber,
    RowId,
    Settled,
    Text,
    like,
)
from services.api.versions import Edited
from shared.ledger.states import ProjectState
from shared.priority import Priority
from shared.schemes import Scheme

_EXAMPLE: dict[str, Any] = {
    "code": "BICAM",
    "number": "P20_01",
    "title": "Biomarkers in cardiac MR",
    "principal_investigator": "Kari Nordmann",
    "rek_number": "2019/1234",
    "rek_start": "2020-01-01",
    "rek_end": "2029-12-31",
    "participant_pattern": "BICAM{site:2}_{n:4}",
    "events": ["baseline", "year1"],
    "sites": ["Bergen", "Førde"],
    "site_codes": {"Bergen": "01", "Førde": "02"},
    "destination_id": 1,
    "date_shift_days": -42,
    "identifier_scheme": "keyed",
    "profile": "",
    "priority": "normal",
    "keep_originals_days": None,
    "keep_copies_days": 7,
    "state": "active",
}
_FIXED = ("code", "number", "date_shift_days", "identifier_scheme")


KeptDays = Annotated[int, Field(ge=1, le=36500)]


class ProjectChange(BaseModel):
    """The part of a project that may change; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {k: v for k, v in _EXAMPLE.items() if k not in _FIXED}},
    )

    code: Settled = None
    number: Settled = None
    date_shift_days: Settled = None
    identifier_scheme: Settled = None
    title: Text = Field("", description="What the project is about.")
    principal_investigator: Text = Field("", description="Who is responsible for it.")
    rek_number: OptionalName = Field("", description="REK approval number.")
    rek_start: date | None = Field(None, description="First day of the approval.")
    rek_end: date | None = Field(None, description="Last day of the approval.")
    participant_pattern: ParticipantPattern | None = Field(
        None,
        description="What participant ids look like. A template, `BICAM{site:2}_{n:4}`: Sluse can "
        "choose ids; `{n:4}` is a running number of four digits, `{site:2}` the site's code of two "
        "characters. Or a regular expression that ids match as a whole. Without a pattern any id "
        "is taken, and no trusted routing rule may name the project.",
    )
    events: Names = Field(default_factory=list, description="The visits; empty for none.")
    sites: Names = Field(default_factory=list, description="The sites; empty for one.")
    site_codes: Annotated[dict[Name, Name], Field(max_length=100)] = Field(
        default_factory=dict,
        description="What stands for each site in participant ids; a site that is left out stands "
        "for itself.",
    )
    destination_id: RowId | None = Field(None, description="Where its images are delivered.")
    profile: ProfileText = Field(
        "",
        description="What is done otherwise than the 2019 table says, as JSON text "
        "(docs/profiles.md); empty for nothing. Images de-identified from then on follow it. What "
        "becomes of the UIDs of study, series and instance stays, once images were released.",
    )
    priority: Priority = Field(
        Priority.NORMAL,
        description="Of its transfers, where nobody says otherwise. `bulk`: they go when nothing "
        "else waits, and a little all the time.",
    )
    keep_originals_days: KeptDays | None = Field(
        None,
        description="Days after the verified delivery until a study's originals are removed, "
        "unless another project keeps them for longer; null: never.",
    )
    keep_copies_days: KeptDays | None = Field(
        7,
        description="Days after the verified delivery until its de-identified copies are removed; "
        "null: never. They are made again when they are needed, as long as the originals are here.",
    )
    state: ProjectState = Field(
        ProjectState.ACTIVE, description="Only an active project takes images."
    )


class ProjectCreate(ProjectChange):
    """A project, as it is entered. Code, number, date shift and scheme stay for good."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    code: ProjectCode = Field(description="Short specifier, also an AE title.")
    number: ProjectNumber | None = Field(None, description="Project number, `P20_01`.")
    date_shift_days: Annotated[int, Field(ge=-36500, le=36500)] | None = Field(
        None,
        description="Whole days added to every date; left out, some are drawn by lot. 0 keeps the "
        "dates as they are.",
    )
    identifier_scheme: Scheme = Field(
        Scheme.KEYED,
        description="How released UIDs and hashes are made. `keyed`: with the project's own "
        "secret. `legacy-decimal` and `legacy-hex` are for a project that comes from the earlier "
        "system, so that follow-up images join what it released; they have no secret: whoever "
        "knows an original UID can confirm that it is in the project, and some of their UIDs "
        "break the rules of DICOM. They need `date_shift_days`, the one used so far.",
    )


class ProjectRead(Edited):
    """A project. Its key never leaves."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra=like(ProjectCreate, {"id": 1, **_EXAMPLE})
    )

    id: int = Field(description="Its number here.")
    code: str
    number: str | None
    title: str
    principal_investigator: str
    rek_number: str
    rek_start: date | None
    rek_end: date | None
    participant_pattern: str | None
    events: list[str]
    sites: list[str]
    site_codes: dict[str, str]
    destination_id: int | None
    date_shift_days: int | None = Field(
        description="Whole days added to every date. Only for who may see who the participants "
        "are: with it dates can be moved back."
    )
    identifier_scheme: Scheme
    profile: str
    priority: Priority
    keep_originals_days: int | None
    keep_copies_days: int | None
    state: ProjectState


class Estimate(BaseModel):
    """What processing all studies of a project again takes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "studies": 120,
                "evicted": 3,
                "images": 60960,
                "bytes": 32000000000,
                "seconds": 420,
            }
        }
    )

    studies: int = Field(description="Studies that are de-identified and delivered again.")
    evicted: int = Field(
        description="Further studies, which are left out: original images of theirs were removed."
    )
    images: int = Field(description="How many images.")
    bytes: int = Field(description="Of the originals; of many images, by a sample's mean.")
    seconds: int | None = Field(
        description="How long it takes at the pace of the latest deliveries; null where nothing "
        "has been delivered."
    )
