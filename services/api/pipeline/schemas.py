"""What the pipeline's figures look like from outside."""

from pydantic import BaseModel, ConfigDict, Field

from shared.ledger.counts import Arrivals, Counts


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
                "queues": {"classifier.received": 0},
                "dead_letters": 0,
            }
        }
    )

    arrivals: Arrivals
    assigned: Counts = Field(description="Instances of all transfers (law 2).")
    queues: dict[str, int | None] = Field(
        description="Messages waiting in each queue; null while the broker is away."
    )
    dead_letters: int = Field(description="Messages that nobody could handle.")
