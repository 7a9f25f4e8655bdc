"""What a routing rule looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Name, OptionalName, ProjectCode, RegularExpression, like
from services.api.versions import Edited
from shared.priority import Priority

_EXAMPLE: dict[str, Any] = {
    "name": "BICAM from the MR scanner",
    "enabled": True,
    "priority": 100,
    "called_aet": "BICAM",
    "patient_id_pattern": "BICAM_[0-9]{3}",
    "trusted": True,
    "project": "BICAM",
    "event": "baseline",
    "transfer_priority": None,
}


class RoutingRuleWrite(BaseModel):
    """A rule, as it is entered: (called *or* calling AE title) *and* (PatientID *or* PatientName).

    The senders of a trusted rule send pseudonyms for patient ids, and those stay.
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
    trusted: bool = Field(
        True,
        description="Whether the patient ids of these senders are participant ids already. If not, "
        "Sluse chooses each patient's id by the project's template.",
    )
    project: ProjectCode = Field(description="Code of the project that gets the images.")
    event: OptionalName = Field("", description="One of the project's events.")
    site: OptionalName = Field("", description="One of the project's sites.")
    transfer_priority: Priority | None = Field(
        None,
        description="Of the transfers that it makes: `normal`, or `bulk` for those that go when "
        "nothing else waits. Left out, as the sender and the project have it.",
    )


class RoutingRuleRead(Edited):
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
    trusted: bool
    project: str
    event: str
    site: str
    transfer_priority: Priority | None


class Tried(BaseModel):
    """What a rule would do with a study that is here, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "study_id": 17,
                "takes": False,
                "met": ["called_aet", "patient_id_pattern"],
                "against": ["The participant id does not fit the project's pattern."],
            }
        }
    )

    study_id: int = Field(description="The study.")
    takes: bool = Field(description="Whether the rule takes it.")
    met: list[str] = Field(description="The rule's conditions that the study meets.")
    against: list[str] = Field(description="Why it would not be taken; empty where it would.")


class Applied(BaseModel):
    """What became of the studies that a rule was applied to."""

    model_config = ConfigDict(json_schema_extra={"example": {"taken": 120, "refused": 3}})

    taken: int = Field(description="Studies that are on their way into the project.")
    refused: int = Field(
        description="Studies that match, and that the project did not take: the dry run says why, "
        "and so does each study's `routing_note`."
    )
