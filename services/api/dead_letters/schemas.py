"""What a dead letter looks like from outside."""

from datetime import datetime

from pydantic import ConfigDict, Field

from services.api.paging import Row


class DeadLetterRead(Row):
    """A message that nobody could handle."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "queue": "anonymizer.assigned",
                "reason": "A message of an unknown type or version arrived.",
                "detail": "version 9",
                "body": "{}",
                "died_at": "2020-02-14T10:15:00Z",
            }
        },
    )

    queue: str = Field(description="The queue it was taken from.")
    reason: str = Field(description="Why nobody could handle it, in words.")
    detail: str = Field(description="Technical detail.")
    body: str = Field(description="The message as it was.")
    died_at: datetime = Field(description="When it was given up.")
