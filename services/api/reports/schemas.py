"""What reports look like from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from shared.ledger.counts import Counts
from shared.ledger.states import TransferState


class ProjectReport(BaseModel):
    """What was taken into a project in a time, and where it is now."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "project": "BICAM",
                "title": "Brain imaging in childhood",
                "rek_number": "2019/123",
                "participants": 14,
                "transfers": {"complete": 20, "attention": 1},
                "instances": {
                    "delivered": 10500,
                    "held": 3,
                    "failed": 0,
                    "in_flight": 0,
                    "received": 10503,
                },
                "first_requested_at": "2026-02-01T08:15:00Z",
                "last_requested_at": "2026-02-27T14:02:00Z",
            }
        }
    )

    project: str = Field(description="The project's code.")
    title: str = Field(description="What it is called.")
    rek_number: str = Field(description="Its approval.")
    participants: int = Field(description="Participants with a transfer in that time.")
    transfers: dict[TransferState, int] = Field(
        description="Transfers requested in that time, by the state that they are in now."
    )
    instances: Counts = Field(description="Their instances, by where they are now (law 2).")
    first_requested_at: datetime | None = Field(description="The first of them; null for none.")
    last_requested_at: datetime | None = Field(description="The last of them.")
