"""What a dead letter looks like from outside."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.api.paging import Row
from shared.ledger.states import DeadLetterState


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
                "transfer_id": 12,
                "state": "open",
                "settled_at": None,
                "settled_by": "",
                "settled_why": "",
            }
        },
    )

    queue: str = Field(description="The queue it was taken from.")
    reason: str = Field(description="Why nobody could handle it, in words.")
    detail: str = Field(description="Technical detail.")
    body: str = Field(description="The message as it was.")
    died_at: datetime = Field(description="When it was given up.")
    transfer_id: int | None = Field(
        description="The transfer it is about; null for none, or where it can't be read."
    )
    state: DeadLetterState = Field(
        description="`open`: nobody has decided. `retried`: it was sent again. `discarded`: "
        "somebody said why it is not needed."
    )
    settled_at: datetime | None = Field(description="When that was.")
    settled_by: str = Field(description="Who that was.")
    settled_why: str = Field(description="Why it was discarded.")


class Discard(BaseModel):
    """Why a message is not needed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"reason": "From a test of the old version."}},
    )

    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200)
    ] = Field(description="In words; no patient data.")
