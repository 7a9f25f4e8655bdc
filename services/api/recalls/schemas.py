"""What a recall looks like from outside."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from services.api.paging import Row
from shared.ledger.states import RecallState

EXAMPLE: dict[str, Any] = {
    "id": 3,
    "transfer_id": 5,
    "study_id": 17,
    "project": "BICAM",
    "destination": "research-pacs",
    "released_study_uid": "2.25.1234567890",
    "instances": 500,
    "state": "asked",
    "detail": "ConnectError",
    "asked_at": "2020-02-14T10:15:00Z",
    "attempts": 1,
    "done_at": None,
}


class RecallRead(Row):
    """A release that is to be deleted at its destination."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    transfer_id: int = Field(description="The transfer that was taken back.")
    study_id: int = Field(description="The study.")
    project: str = Field(description="The project's code.")
    destination: str | None = Field(description="Name of the research PACS, if there is one.")
    released_study_uid: str = Field(description="The StudyInstanceUID to delete there.")
    instances: int = Field(
        description="How many images may be there: those that were delivered, and those that were "
        "ready to be sent."
    )
    state: RecallState = Field(
        description="`asked`: Sluse deletes it, or tries again to. `by-hand`: a person deletes it "
        "and says so. `done`: it is gone."
    )
    detail: str = Field(description="Why it is not done yet, technically.")
    asked_at: datetime = Field(description="When it was recalled.")
    attempts: int = Field(description="How often Sluse has tried.")
    done_at: datetime | None = Field(description="When it was gone; null until then.")


class RecalledInstance(Row):
    """An image of a recalled release."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": 4711, "released_sop_uid": "2.25.987654321"}}
    )

    released_sop_uid: str = Field(description="The SOPInstanceUID to delete.")
