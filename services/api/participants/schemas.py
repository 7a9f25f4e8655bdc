"""What a participant looks like from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from services.api.paging import Row
from shared.ledger.counts import Counts
from shared.ledger.states import TransferState


class LastTransfer(BaseModel):
    """The last transfer that was asked for of a participant's studies."""

    id: int = Field(description="Its number.")
    event: str = Field(description="The event (visit); empty for none.")
    state: TransferState = Field(description="How far it is.")
    requested_at: datetime = Field(description="When it was requested.")


class ParticipantRead(Row):
    """A person in a project, by pseudonym. Whom it stands for is said nowhere here."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 8,
                "pseudonym": "BICAM_001",
                "created_at": "2020-02-14T10:15:00Z",
                "studies": 2,
                "last_transfer": {
                    "id": 5,
                    "event": "baseline",
                    "state": "complete",
                    "requested_at": "2020-02-14T10:15:00Z",
                },
            }
        }
    )

    pseudonym: str = Field(description="The participant's id.")
    created_at: datetime = Field(description="When it was met first.")
    studies: int = Field(description="Studies assigned; cancelled and recalled ones don't count.")
    last_transfer: LastTransfer | None = Field(description="The last transfer; null for none.")


class Progress(BaseModel):
    """How far a project is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "participants": 1,
                "transfers": {"complete": 1, "running": 1},
                "instances": {
                    "delivered": 500,
                    "held": 0,
                    "failed": 1,
                    "in_flight": 7,
                    "received": 508,
                },
            }
        }
    )

    participants: int = Field(description="How many participants there are.")
    transfers: dict[TransferState, int] = Field(description="Transfers by state.")
    instances: Counts = Field(description="Instances of all its transfers (law 2).")
