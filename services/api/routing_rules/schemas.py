"""What a routing rule looks like from outside."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.identity import AE_TITLE, PROJECT_CODE
from shared.patterns import check

_EXAMPLE: dict[str, Any] = {
    "name": "BICAM from the MR scanner",
    "enabled": True,
    "priority": 100,
    "called_aet": "BICAM",
    "patient_id_pattern": "BICAM_[0-9]{3}",
    "project": "BICAM",
    "event": "baseline",
}

AeTitle = Annotated[str | None, Field(pattern=f"^{AE_TITLE}$")]
Pattern = Annotated[str, AfterValidator(check), Field(min_length=1, max_length=300)]


class RoutingRuleWrite(BaseModel):
    """A rule, as it is entered: an AE title *and* a pattern on the patient.

    The senders that it names are trusted: their patient ids are pseudonyms and stay.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Annotated[str, Field(pattern=r"^\S(.{0,98}\S)?$", description="What people call it.")]
    enabled: bool = True
    priority: Annotated[
        int, Field(ge=0, le=10000, description="Rules are tried in rising order.")
    ] = 100
    called_aet: AeTitle = Field(None, description="The AE title that the sender addressed.")
    calling_aet: AeTitle = Field(None, description="The sender's own AE title.")
    patient_id_pattern: Pattern | None = Field(
        None, description="Regular expression that PatientID matches from its start."
    )
    patient_name_pattern: Pattern | None = Field(
        None, description="Regular expression that PatientName matches from its start."
    )
    project: Annotated[
        str, Field(pattern=f"^{PROJECT_CODE}$", description="Code of the project that gets them.")
    ]
    event: Annotated[str, Field(max_length=64)] = ""
    site: Annotated[str, Field(max_length=64)] = ""

    @model_validator(mode="after")
    def _both_conditions(self) -> Self:
        if not (self.called_aet or self.calling_aet):
            raise ValueError("a rule needs called_aet or calling_aet")
        if not (self.patient_id_pattern or self.patient_name_pattern):
            raise ValueError("a rule needs patient_id_pattern or patient_name_pattern")
        return self


class RoutingRuleRead(RoutingRuleWrite):
    """A rule."""

    model_config = ConfigDict(json_schema_extra={"example": {"id": 1, **_EXAMPLE}})

    id: int
