"""What a routing rule looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Name, OptionalName, ProjectCode, RegularExpression, like

_EXAMPLE: dict[str, Any] = {
    "name": "BICAM from the MR scanner",
    "enabled": True,
    "priority": 100,
    "called_aet": "BICAM",
    "patient_id_pattern": "BICAM_[0-9]{3}",
    "project": "BICAM",
    "event": "baseline",
}


class RoutingRuleWrite(BaseModel):
    """A rule, as it is entered: (called *or* calling AE title) *and* (PatientID *or* PatientName).

    The senders that it names are trusted: their patient ids are pseudonyms and stay.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Name = Field(description="What people call it.")
    enabled: bool = Field(True, description="Whether it is tried.")
    priority: Annotated[int, Field(ge=0, le=10000)] = Field(
        100, description="Rules are tried in rising order; for each project the first one counts."
    )
    called_aet: AeTitle | None = Field(
        None, description="The AE title that the sender addressed, in full."
    )
    calling_aet: AeTitle | None = Field(
        None, description="The sender's own AE title, in full. With both given, either will do."
    )
    patient_id_pattern: RegularExpression | None = Field(
        None, description="Regular expression that PatientID matches from its start."
    )
    patient_name_pattern: RegularExpression | None = Field(
        None,
        description="Regular expression that PatientName matches from its start. With both given, "
        "either will do.",
    )
    project: ProjectCode = Field(description="Code of the project that gets the images.")
    event: OptionalName = Field("", description="One of the project's events.")
    site: OptionalName = Field("", description="One of the project's sites.")


class RoutingRuleRead(BaseModel):
    """A rule."""

    model_config = ConfigDict(json_schema_extra=like(RoutingRuleWrite, {"id": 1, **_EXAMPLE}))

    id: int = Field(description="Its number here.")
    name: str
    enabled: bool
    priority: int
    called_aet: str | None
    calling_aet: str | None
    patient_id_pattern: str | None
    patient_name_pattern: str | None
    project: str
    event: str
    site: str
