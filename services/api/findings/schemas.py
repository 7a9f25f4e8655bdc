"""What a finding looks like from outside."""

from datetime import datetime

from pydantic import ConfigDict, Field

from services.api.paging import Row
from shared.errors import Reason


class FindingRead(Row):
    """Why an image was held for a person."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 9,
                "project": "BICAM",
                "transfer_id": 12,
                "delivery_id": 4711,
                "kind": "not-deidentifiable",
                "reason": "The image can't be de-identified with certainty.",
                "detail": "",
                "found_at": "2026-02-14T10:15:02Z",
                "is_open": True,
            }
        }
    )

    project: str = Field(description="The project that the image was on its way to.")
    transfer_id: int = Field(description="The transfer.")
    delivery_id: int = Field(description="The image: `id` of the transfer's deliveries.")
    kind: Reason = Field(description="What was found.")
    reason: str = Field(description="The same in words.")
    detail: str = Field(description="Technical detail.")
    found_at: datetime = Field(description="When it was found.")
    is_open: bool = Field(description="The image is held for it still.")
