"""What the pipeline's figures look like from outside."""

from pydantic import BaseModel, ConfigDict, Field

from services.api.pipeline.pace import EXAMPLE, Pace
from shared.ledger.counts import Arrivals, Counts
from shared.ledger.states import TransferState


class Unrouted(BaseModel):
    """Why routing rules that matched did not take some studies."""

    reason: str = Field(description="In words.")
    studies: int = Field(description="How many studies.")


class Pipeline(BaseModel):
    """The pipeline at a glance."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "arrivals": {
                    "studies": 3,
                    "instances": 90,
                    "unassigned_studies": 1,
                    "quarantined": 0,
                },
                "assigned": {
                    "delivered": 60,
                    "held": 0,
                    "failed": 0,
                    "in_flight": 8,
                    "received": 68,
                },
                "transfers": {"complete": 1, "running": 1},
                "unrouted": [
                    {
                        "reason": "The participant id does not fit the project's pattern.",
                        "studies": 1,
                    }
                ],
                "queues": {"classifier.received": 0},
                "dead_letters": 0,
                "pace": EXAMPLE,
                "to_be_deleted": 0,
            }
        }
    )

    arrivals: Arrivals = Field(description="What has arrived.")
    assigned: Counts = Field(description="Instances of all transfers (law 2).")
    transfers: dict[TransferState, int] = Field(description="Transfers by state.")
    unrouted: list[Unrouted] = Field(
        description="Studies that a routing rule matched and did not take; nobody has since."
    )
    queues: dict[str, int | None] = Field(
        description="Messages waiting in each queue; null while the broker is away."
    )
    dead_letters: int = Field(
        description="Messages that nobody could handle, and nobody has decided about."
    )
    pace: Pace | None = Field(description="How fast it works; null where that was not asked for.")
    to_be_deleted: int = Field(
        description="Recalls that a person must delete at a research PACS (`/recalls`)."
    )
