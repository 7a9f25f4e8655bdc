"""What a dead letter looks like from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class DeadLetterRead(BaseModel):
    """A message that nobody could handle."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": 1,
                "queue": "anonymizer.assigned",
                "reason": "unknown-event",
                "detail": "version 9",
                "body": "{}",
                "died_at": "2020-02-14T10:15:00Z",
            }
        },
    )

    id: int
    queue: str = Field(description="The queue it was taken from.")
    reason: str
    detail: str
    body: str = Field(description="The message as it was.")
    died_at: datetime
