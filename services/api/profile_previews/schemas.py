"""What a preview of a profile looks like from outside."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import ProfileText, RowId
from services.api.paging import Row
from shared.ledger.states import PreviewState
from shared.previewing import Comparison

_PROFILE = (
    '{"format": 1, "name": "aaa", "base": "source-2019", '
    '"rules": [{"element": "StudyDescription", "action": "remove"}]}'
)
_COMPARISON: dict[str, Any] = {
    "elements": [
        {
            "depth": 0,
            "tag": "(0010,0010)",
            "name": "PatientName",
            "vr": "PN",
            "before": "Nordmann^Kari",
            "after": "BICAM_001",
            "effect": "changed",
            "why": "the table: Re-Mapped",
        }
    ],
    "left_off": 0,
    "remarks": 0,
}


class PreviewCreate(BaseModel):
    """What somebody wants to see before and after."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"study_id": 17, "series_id": 3, "profile": _PROFILE}},
    )

    study_id: RowId = Field(description="A study of the project.")
    series_id: RowId | None = Field(
        None, description="One of its series, whose first image is taken; null for the first one."
    )
    profile: ProfileText | None = Field(
        None,
        description="The profile to try, as a project's is written (docs/profiles.md); null for "
        "the project's own.",
    )


class PreviewRead(Row):
    """An image before and after. It names the patient; it is deleted after an hour."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 8,
                "study_id": 17,
                "series_id": 3,
                "state": "done",
                "reason": None,
                "detail": "",
                "asked_at": "2020-02-14T10:15:00Z",
                "comparison": _COMPARISON,
            }
        }
    )

    study_id: int = Field(description="The study.")
    series_id: int = Field(description="The series whose image it is.")
    state: PreviewState = Field(
        description="`asked` until the anonymizer has answered: ask again in a second. `done`: "
        "there is a comparison. `held`: the image would be held. `failed`: ask for it anew."
    )
    reason: str | None = Field(description="Why it would be held, or has failed, in words.")
    detail: str = Field(description="Technical detail.")
    asked_at: datetime = Field(description="When it was asked for.")
    comparison: Comparison | None = Field(
        description="The image before and after, once it is `done`. Each reading is audited."
    )
