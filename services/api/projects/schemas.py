"""What a project looks like from outside (2019 design, "Projects and data")."""

from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.identity import PARTICIPANT, PROJECT_CODE, PROJECT_NUMBER
from shared.ledger.states import ProjectState
from shared.patterns import check

_EXAMPLE: dict[str, Any] = {
    "code": "BICAM",
    "number": "P20_01",
    "title": "Biomarkers in cardiac MR",
    "principal_investigator": "Kari Nordmann",
    "rek_number": "2019/1234",
    "rek_start": "2020-01-01",
    "rek_end": "2029-12-31",
    "participant_pattern": "BICAM_[0-9]{3}",
    "events": ["baseline", "year1"],
    "sites": [],
    "destination_id": 1,
    "date_shift_days": 42,
    "state": "active",
}

Name = Annotated[str, Field(pattern=r"^\S(.{0,62}\S)?$")]
Names = Annotated[list[Name], Field(max_length=100)]


_FIXED = ("code", "number", "date_shift_days")


class ProjectChange(BaseModel):
    """The part of a project that may change."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {k: v for k, v in _EXAMPLE.items() if k not in _FIXED}},
    )

    title: Annotated[str, Field(max_length=200, description="The project's full name.")] = ""
    principal_investigator: Annotated[str, Field(max_length=200)] = ""
    rek_number: Annotated[str, Field(max_length=64, description="REK approval number.")] = ""
    rek_start: date | None = Field(None, description="First day of the approval.")
    rek_end: date | None = Field(None, description="Last day of the approval.")
    participant_pattern: Annotated[
        str,
        AfterValidator(check),
        Field(
            max_length=200,
            description="Regular expression that a participant id matches as a whole.",
        ),
    ] = PARTICIPANT
    events: Names = Field(default_factory=list, description="The visits; empty for none.")
    sites: Names = Field(default_factory=list, description="The sites; empty for one.")
    destination_id: Annotated[int | None, Field(ge=1, le=2**63 - 1)] = Field(
        None, description="Where its images are delivered."
    )
    state: ProjectState = Field(
        ProjectState.ACTIVE, description="Only an active project takes images."
    )

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.rek_start and self.rek_end and self.rek_end < self.rek_start:
            raise ValueError("rek_end is before rek_start")
        return self


class ProjectCreate(ProjectChange):
    """A project, as it is entered. Code, number and date shift stay for good."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    code: Annotated[
        str,
        Field(
            pattern=f"^{PROJECT_CODE}$",
            description="Short specifier, also an AE title: capitals and digits, 3 to 16.",
        ),
    ]
    number: Annotated[
        str | None, Field(pattern=f"^{PROJECT_NUMBER}$", description="Project number, `P20_01`.")
    ] = None
    date_shift_days: Annotated[
        int, Field(ge=-36500, le=36500, description="Whole days added to every date.")
    ] = 0


class ProjectRead(BaseModel):
    """A project. Its key never leaves."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"example": {"id": 1, **_EXAMPLE}}
    )

    id: int
    code: str
    number: str | None
    title: str
    principal_investigator: str
    rek_number: str
    rek_start: date | None
    rek_end: date | None
    participant_pattern: str
    events: list[str]
    sites: list[str]
    destination_id: int | None
    date_shift_days: int
    state: ProjectState
