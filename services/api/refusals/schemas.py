"""What a refusal looks like from outside."""

from datetime import datetime

from pydantic import ConfigDict, Field

from services.api.paging import Row


class RefusalRead(Row):
    """Associations of one kind that were rejected."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 4,
                "calling_aet": "MR3",
                "called_aet": "SLUSE",
                "peer_address": "10.1.2.3",
                "reason": "unknown-calling-aet",
                "why": "The sender is not listed as a peer.",
                "can_be_allowed": True,
                "times": 12,
                "first_at": "2020-02-14T10:11:12Z",
                "last_at": "2020-02-14T10:31:12Z",
            }
        }
    )

    calling_aet: str = Field(description="The sender's AE title.")
    called_aet: str = Field(description="The AE title that the sender addressed.")
    peer_address: str = Field(description="The sender's network address.")
    reason: str = Field(description="Why, as the metrics count it.")
    why: str = Field(description="Why, in words.")
    can_be_allowed: bool = Field(description="Whether allowing the sender mends it.")
    times: int = Field(description="How often.")
    first_at: datetime = Field(description="When it happened first.")
    last_at: datetime = Field(description="When it happened last.")
