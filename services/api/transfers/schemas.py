"""What a transfer looks like from outside."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import Name, OptionalName, ProjectCode, RowId, Uid
from shared.ledger.counts import Counts
from shared.ledger.states import DeliveryState, TransferState

_EXAMPLE: dict[str, Any] = {
    "study_id": 17,
    "project": "BICAM",
    "participant": "BICAM_001",
    "event": "baseline",
}


class TransferCreate(BaseModel):
    """A request to take a study into a project."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    study_id: RowId | None = Field(None, description="The study; or name it by study_instance_uid.")
    study_instance_uid: Uid | None = Field(None, description="The study's received UID.")
    project: ProjectCode = Field(description="The project's code.")
    participant: Name = Field(description="The participant's pseudonym.")
    event: OptionalName = Field("", description="One of the project's events.")
    site: OptionalName = Field("", description="One of the project's sites.")


class Trouble(BaseModel):
    """Why some instances are held, have failed, or wait."""

    state: DeliveryState
    reason: str = Field(description="In words.")
    detail: str = Field(description="Technical detail.")
    instances: int


class TransferRead(BaseModel):
    """A transfer and how far it is: received = delivered + held + failed + in flight."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 5,
                **_EXAMPLE,
                "site": "",
                "state": "running",
                "requested_by": "rest",
                "rule": None,
                "requested_at": "2020-02-14T10:15:00Z",
                "changed_at": "2020-02-14T10:15:01Z",
                "released_study_uid": "2.25.1234567890",
                "counts": {
                    "delivered": 500,
                    "held": 0,
                    "failed": 1,
                    "in_flight": 7,
                    "received": 508,
                },
                "troubles": [
                    {
                        "state": "failed",
                        "reason": "The research PACS refused the image.",
                        "detail": "A900 data set does not match SOP class",
                        "instances": 1,
                    }
                ],
            }
        }
    )

    id: int
    study_id: int
    project: str
    participant: str
    event: str
    site: str
    state: TransferState
    requested_by: str = Field(description="`rest`, or `rule`.")
    rule: str | None = Field(description="Name of the rule that asked for it.")
    requested_at: datetime
    changed_at: datetime
    released_study_uid: str | None = Field(
        description="The study's UID in the research PACS, once something is de-identified."
    )
    counts: Counts
    troubles: list[Trouble]


class DeliveryRead(BaseModel):
    """One instance of a transfer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 4711,
                "series_id": 3,
                "sop_instance_uid": "1.2.826.0.1.3680043.8.498.2",
                "released_sop_uid": "2.25.987654321",
                "revision": 1,
                "state": "forwarded",
                "attempts": 0,
                "reason": None,
                "detail": "",
                "changed_at": "2020-02-14T10:15:02Z",
            }
        }
    )

    id: int
    series_id: int
    sop_instance_uid: str
    released_sop_uid: str | None
    revision: int
    state: DeliveryState
    attempts: int
    reason: str | None = Field(description="Why it is held, failed or waits, in words.")
    detail: str
    changed_at: datetime
